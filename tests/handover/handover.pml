/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) vfmig authors */

/*
 * The protocol of docs/handover.md, from LOADED on, for spin. Either side crashes when it
 * likes and is recovered; the connection is cut when it likes, and what is in it is lost; a
 * journal survives, and a write to it may fail and be on disk all the same. There is no
 * person. The devices live on when a side crashes, as devices behind a socket do, and do
 * then what they were told to (orphans).
 *
 * Proven: two devices never run, and a destination never runs what it has lost (the
 * assertions); and with crashes, cuts and faults that have an end, one device runs at
 * last, and both journals are at rest (the claim "settled").
 *
 * Left out: everything before LOADED, where the source decides alone; and the bytes of a
 * message, for one that is cut is none.
 *
 * An exchange of a recovery is one step here, and several messages in truth. That is no
 * difference: whatever a side acts upon when it hears it stays true for ever.
 *
 * -DSTORE is the protocol with a store. A swap there is done or not, is heard of or not, or
 * arrives when nobody waits for it any more; and a recovery asks the store alone, as if the other
 * side could never be reached. That the store can be is all that "settled" needs then.
 *
 * -DMUTANT=N is the same with one rule broken; tests/handover/model says how each is found.
 */

#ifndef MUTANT
#define MUTANT 0
#endif

#ifdef STORE
#define STORED true
#else
#define STORED false
#endif

#define CRASHES 2
#define CUTS 1
#define FAULTS 1 /* writes that fail */

mtype = { NONE, BEGUN, GIVING, GIVEN, KEPT, LOADING, LOADED, COMMITTED, RUNNING, RESET };
mtype = { MOVING, STORE_KEPT, STORE_COMMITTED };
mtype = { M_LOADED, M_COMMIT, M_RUNNING, M_ACK, M_ABORT };

mtype sj = BEGUN;   /* what is on disk at the source */
mtype dj = LOADING; /* and at the destination */
bool s_runs = false, d_runs = false;   /* the devices */
bool d_has = true;                     /* the destination's holds what was loaded */
bool s_armed = true, d_armed = true;   /* orphans: run, and reset */
bool s_live = true, d_live = true;     /* the halves of the migration, with their locks */
mtype key = MOVING; /* what the store says; nobody asks it without one */
bool late_kept = false, late_committed = false; /* swaps that are under way, and given up */
bool s_rest = false, d_rest = false;   /* nothing is left to be done there */
bool connected = true;
byte crashes = 0, cuts = 0, faults = 0;

chan fwd = [2] of { mtype };
chan rev = [2] of { mtype };

#define S_LOST ((!connected || !d_live) && empty(rev))
#define D_LOST ((!connected || !s_live) && empty(fwd))

inline run_s() { atomic { assert(!d_runs); s_runs = true } }
inline run_d() { atomic { assert(!s_runs && d_has); d_runs = true } }

/* When it has failed, the state may be on disk or not. */
inline write(j, state, failed)
{
	if
	:: atomic { j = state; failed = false }
	:: atomic { faults < FAULTS -> faults++; failed = true }
	:: atomic { faults < FAULTS -> faults++; j = state; failed = true }
	fi
}

/* What is known of it then is that it was decided, or nothing. */
inline swap(want, late, known)
{
	if
#if MUTANT == 11 /* what was decided is written over */
	:: atomic { key = want; known = true }
#else
	:: atomic { key == MOVING -> key = want; known = true }
	:: atomic { key != MOVING -> known = true }
#endif
	:: known = false
	:: atomic { key == MOVING -> key = want; known = false }
	:: atomic { key == MOVING -> late = true; known = false }
	fi
}

inline send(c, m)
{
	if
	:: atomic { connected && nfull(c) -> c!m }
	:: !connected
	fi
}

inline cut()
{
	connected = false;
	do
	:: len(fwd) > 0 -> fwd?_
	:: len(rev) > 0 -> rev?_
	:: else -> break
	od
}

/* ---- the source, whose device stands still -------------------------------------- */

proctype source()
{
	bool failed = false, known = false;

	{
		if
		:: rev?M_LOADED
		:: rev?M_ABORT -> goto keep
		:: S_LOST -> goto keep
		:: goto keep /* somebody cancels */
		fi;
		s_armed = false;
#if MUTANT != 1 /* COMMIT goes out before GIVING is on disk */
		write(sj, GIVING, failed);
		if
		:: failed -> goto keep
		:: else
		fi;
#endif
		if
		:: atomic { connected -> fwd!M_COMMIT }
		:: !connected -> goto keep /* it was cut, so it is none */
		fi;
#if MUTANT == 1
		write(sj, GIVING, failed);
#endif
		if
		:: rev?M_RUNNING
		:: rev?M_ABORT -> goto ask
#if MUTANT == 2 /* resumes although GIVING is on disk and COMMIT is out */
		:: S_LOST -> goto keep
#else
		:: S_LOST -> goto ask
#endif
		fi;
		write(sj, GIVEN, failed);
		if
		:: failed -> goto end
		:: else
		fi;
		s_rest = true;
		send(fwd, M_ACK);
		goto end;
ask:
		if
		:: !STORED -> goto end
		:: else
		fi;
		swap(STORE_KEPT, late_kept, known);
		if
#if MUTANT == 12 /* takes it back although it has not heard what became of its swap */
		:: !known
#else
		:: !known -> goto end
#endif
		:: known && key == STORE_KEPT
		:: known && key == STORE_COMMITTED ->
			write(sj, GIVEN, failed);
			s_rest = !failed;
			goto end
		fi;
keep:
		write(sj, KEPT, failed); /* it runs whether this works or not */
		run_s();
		s_armed = false;
		s_rest = !failed;
		send(fwd, M_ABORT);
end:
		s_live = false
	} unless { !s_live }
}

/* ---- the destination, which has loaded all --------------------------------------- */

proctype destination()
{
	bool failed = false, known = false;

	{
		d_armed = false;
		write(dj, LOADED, failed);
		if
		:: failed -> goto refuse
		:: else
		fi;
#if MUTANT == 4 /* runs before COMMIT */
		run_d();
#endif
		send(rev, M_LOADED);
		if
		:: fwd?M_COMMIT
		:: fwd?M_ABORT -> goto refuse
		:: goto refuse /* somebody cancels */
		:: D_LOST -> goto lost
		fi;
#ifdef STORE
#if MUTANT == 15 /* its journal says committed before the store does */
		write(dj, COMMITTED, failed);
#endif
		swap(STORE_COMMITTED, late_committed, known);
		if
#if MUTANT == 13 /* runs although it has not heard what became of its swap */
		:: !known
#else
		:: !known -> goto end
#endif
		:: known && key == STORE_KEPT -> goto refuse
		:: known && key == STORE_COMMITTED
		fi;
		write(dj, COMMITTED, failed); /* the store has decided, whether this works or not */
#elif MUTANT != 5 /* runs before COMMITTED is on disk */
		write(dj, COMMITTED, failed);
		if
#if MUTANT != 3 /* runs although COMMITTED could not be written */
		:: failed -> goto end
#endif
		:: else
		fi;
#endif
		run_d();
#if MUTANT == 5
		write(dj, COMMITTED, failed);
#endif
		write(dj, RUNNING, failed);
		d_rest = !failed;
		send(rev, M_RUNNING);
#if MUTANT == 6 /* forgets before the source knows */
		dj = NONE;
		d_rest = true;
#else
		if
		:: fwd?M_ACK -> atomic { dj = NONE; d_rest = true }
		:: fwd?M_ABORT
		:: D_LOST
		:: true /* it does not wait for ever */
		fi;
#endif
		goto end;
lost:
		/* in doubt: without a store it stays as it is */
		if
		:: !STORED -> goto end
		:: else
		fi;
		swap(STORE_KEPT, late_kept, known);
		if
		:: !known -> goto end
		:: known
		fi;
refuse:
		write(dj, RESET, failed);
		if
		:: failed && key != STORE_KEPT -> goto end
		:: else
		fi;
		d_has = false;
		d_rest = (dj == RESET);
		send(rev, M_ABORT);
end:
		d_live = false
	} unless { !d_live }
}

/* ---- the world -------------------------------------------------------------------- */

proctype world()
{
	do
	:: atomic { connected && cuts < CUTS -> cuts++; cut() }
	:: atomic { s_live && crashes < CRASHES -> crashes++; s_live = false; cut();
		if
		:: s_armed -> s_armed = false; run_s()
		:: else
		fi }
	:: atomic { d_live && crashes < CRASHES -> crashes++; d_live = false; cut();
		if
		:: d_armed -> d_armed = false; d_has = false
		:: else
		fi }
	:: break /* that was all */
	od
}

/* A swap that nobody waits for arrives, or never does. */
proctype network()
{
	do
	:: atomic { late_kept && key == MOVING -> key = STORE_KEPT }
	:: atomic { late_committed && key == MOVING -> key = STORE_COMMITTED }
	:: atomic { late_kept -> late_kept = false }
	:: atomic { late_committed -> late_committed = false }
	od
}

/*
 * Recovery on both sides, by whom no half holds the lock. Each line is a step of its own,
 * after which the recovery may die and be begun again: so it needs no crashes.
 */
proctype recovery()
{
	do
	:: atomic { !s_live && sj == BEGUN -> sj = KEPT }
	:: atomic { !s_live && sj == KEPT && !s_rest -> run_s(); s_rest = true }
	:: atomic { !s_live && sj == GIVEN && !s_rest -> assert(!s_runs); s_rest = true }
	:: atomic { !d_live && dj == LOADING -> dj = RESET }
	:: atomic { !d_live && dj == RESET && !d_rest -> d_has = false; d_rest = true }
	:: atomic { !d_live && dj == COMMITTED -> run_d(); dj = RUNNING; d_rest = true }
	:: atomic { !d_live && dj == RUNNING && !d_rest -> d_rest = true }
#ifdef STORE
	/* nor does it act on anything against the store's word */
	:: atomic { !s_live && sj == KEPT && key == STORE_COMMITTED -> assert(false) }
#if MUTANT != 15
	:: atomic { !d_live && dj == COMMITTED && key != STORE_COMMITTED -> assert(false) }
#endif
	:: atomic { !s_live && sj == GIVING ->
		if
		:: key == STORE_COMMITTED -> sj = GIVEN
		:: else -> key = STORE_KEPT; sj = KEPT
		fi }
#if MUTANT == 14 /* a destination in doubt believes the source instead of asking the store */
	:: atomic { !d_live && dj == LOADED && sj == GIVING -> dj = RESET }
#else
	:: atomic { !d_live && dj == LOADED ->
		if
		:: key == STORE_COMMITTED -> dj = COMMITTED
		:: else -> key = STORE_KEPT; dj = RESET
		fi }
#endif
#else
	/* these need what the other side says */
#if MUTANT == 9 /* the source takes it back before RESET is on disk at the destination */
	:: atomic { !s_live && !d_live && sj == GIVING && dj == LOADED -> sj = KEPT }
	:: atomic { !d_live && dj == LOADED -> dj = COMMITTED }
#elif MUTANT != 10 /* a destination in doubt does not ask */
	:: atomic { !s_live && !d_live && dj == LOADED &&
		(sj == GIVING || sj == BEGUN || sj == KEPT) -> dj = RESET }
#endif
	:: atomic { !s_live && !d_live && sj == GIVING && dj == RESET -> sj = KEPT }
	:: atomic { !s_live && !d_live && sj == GIVING && (dj == COMMITTED || dj == RUNNING) ->
		sj = GIVEN }
#if MUTANT == 7 /* a source in doubt decides for itself */
	:: atomic { !s_live && sj == GIVING -> sj = KEPT }
#endif
#if MUTANT == 8 /* a destination in doubt does */
	:: atomic { !d_live && dj == LOADED -> dj = COMMITTED }
#endif
#endif
	od
}

/* Time goes on when nothing else does: a standstill is as bad as a circle. */
proctype clock()
{
	bit tick = 0;

	do
	:: tick = 1 - tick
	od
}

init { atomic { run source(); run destination(); run world(); run network(); run recovery(); run clock() } }

ltl settled { <>[] (s_runs != d_runs && s_rest && d_rest) }
