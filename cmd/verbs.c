// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* The table of verbs. Help, completion and the parser all come from it. */

#include "cmd.h"

#include "base/util.h"

#define MOVE_OPTIONS                                                                               \
	(CMD_BIT(MAX_DOWNTIME) | CMD_BIT(MAX_ROUNDS) | CMD_BIT(MAX_TIME) | CMD_BIT(ON_LIMIT) |     \
	 CMD_BIT(TIMEOUT) | CMD_BIT(COMPRESS) | CMD_BIT(MEMORY_LIMIT) | CMD_BIT(MEMORY) |          \
	 CMD_BIT(JOURNAL) | CMD_BIT(RATE) | CMD_BIT(CHANNELS) | CMD_BIT(EVENTS) | CMD_BIT(QUIET) | \
	 CMD_BIT(JSON))

#define WIRE_OPTIONS (CMD_BIT(TLS) | CMD_BIT(TLS_PEER) | CMD_BIT(INSECURE))

#define STORE_OPTIONS                                                                              \
	(CMD_BIT(ETCD) | CMD_BIT(ETCD_KEY) | CMD_BIT(ETCD_PREFIX) | CMD_BIT(ETCD_NODE) |           \
	 CMD_BIT(ETCD_TLS) | CMD_BIT(ETCD_TIMEOUT) | CMD_BIT(INSECURE))

#define UNIT_NOTES                                                                                 \
	"Several devices are one unit, all of which is moved or none; source and\n"                \
	"destination match them by their order. One without P2P among them is refused\n"           \
	"unless --allow-no-p2p is given: until it stops, and from when it runs, it may\n"          \
	"write into others that do not run, and what it writes there is lost.\n"

#define WIRE_NOTES                                                                                 \
	"Without --tls the connection is neither encrypted nor authenticated. An address\n"        \
	"that is not of this machine is then refused unless --insecure is given.\n"

static const struct cmd_verb verbs[] = {
	{
		.name = "probe",
		.run = cmd_probe,
		.operands = "URI",
		.nr_operands = 1,
		.options = CMD_BIT(JSON),
		.summary = "what this device can do, and what keeps it from migrating",
		.notes = "Leaves the device as it is.\n",
	},
	{
		.name = "check",
		.run = cmd_check,
		.operands = "URI",
		.nr_operands = 1,
		.options = CMD_BIT(RULE) | CMD_BIT(SEED) | CMD_BIT(QUICK) | CMD_BIT(TIMEOUT) |
			   CMD_BIT(EXERCISE) | CMD_BIT(FORMAT) | CMD_BIT(OUTPUT) | CMD_BIT(LIST) |
			   CMD_BIT(EXPLAIN) | CMD_BIT(LIST_BUGS) | CMD_BIT(QUIET),
		.alone = CMD_BIT(LIST) | CMD_BIT(EXPLAIN) | CMD_BIT(LIST_BUGS),
		.summary = "whether a device is fit to migrate",
		.notes = "Drives the device through everything that migration can ask of it. What "
			 "it was\n"
			 "doing is lost. Exits with 0 if no rule that must hold has failed, 1 if "
			 "one has,\n"
			 "3 if the device cannot migrate at all. --list, --explain and --list-bugs "
			 "want no\n"
			 "URI. --timeout is how long a rule may take; default 20.\n",
	},
	{
		.name = "replay",
		.run = cmd_replay,
		.operands = "FILE URI",
		.nr_operands = 2,
		.options = CMD_BIT(JSON),
		.summary = "try a trace of one device again on another",
		.notes = "FILE is one that trace,file=FILE,format=json+URI has written. Tells "
			 "which\n"
			 "operations come out different.\n",
	},
	{
		.name = "serve",
		.run = cmd_serve,
		.operands = "URI SOCKET",
		.nr_operands = 2,
		.options = CMD_BIT(FACE) | CMD_BIT(DATA) | CMD_BIT(DATA_SIZE) | CMD_BIT(READY_FD) |
			   CMD_BIT(ONCE) | CMD_BIT(NO_EXTENSION) | CMD_BIT(TIMEOUT) |
			   CMD_BIT(QUIET),
		.summary = "show a device to others over vfio-user",
		.notes = "Serves one client at a time until SIGINT or SIGTERM, then removes "
			 "SOCKET.\n"
			 "The device keeps its state from one client to the next. With a URI that "
			 "is a\n"
			 "vfio-user socket itself, this is a bridge from one protocol to the "
			 "other.\n",
	},
	{
		.name = "save",
		.run = cmd_save,
		.operands = "URI FILE",
		.nr_operands = 2,
		.options = CMD_BIT(COMPRESS) | CMD_BIT(MEMORY_LIMIT) | CMD_BIT(TIMEOUT) |
			   CMD_BIT(EVENTS) | CMD_BIT(QUIET) | CMD_BIT(JSON),
		.summary = "save the state of a device to a file",
		.notes = "FILE - is standard output. A FILE that exists is replaced when the new "
			 "one is\n"
			 "whole and on disk, and untouched if anything fails. The device runs on\n"
			 "afterwards, whether this succeeds or not.\n",
	},
	{
		.name = "load",
		.run = cmd_load,
		.operands = "URI FILE",
		.nr_operands = 2,
		.options = CMD_BIT(TIMEOUT) | CMD_BIT(EVENTS) | CMD_BIT(QUIET) | CMD_BIT(JSON),
		.summary = "load the state of a device from a file, and run it",
		.notes = "FILE - is standard input. The whole file is proven and compared with the "
			 "device\n"
			 "before the device is touched.\n",
	},
	{
		.name = "migrate",
		.run = cmd_migrate,
		.operands = "SOURCE DESTINATION [SOURCE DESTINATION]...",
		.nr_operands = 2,
		.most_operands = 2 * VFM_UNIT_MAX,
		.in_pairs = true,
		.options =
			MOVE_OPTIONS | STORE_OPTIONS | CMD_BIT(TO_MEMORY) | CMD_BIT(ALLOW_NO_P2P),
		.summary = "move a device, or several as one, with both ends from here",
		.notes = "SOURCE and DESTINATION are URIs. Afterwards the destination runs and the "
			 "source\n"
			 "is stopped; on failure the source runs on.\n" UNIT_NOTES,
	},
	{
		.name = "preflight",
		.run = cmd_preflight,
		.operands = "SOURCE DESTINATION",
		.nr_operands = 2,
		.options = CMD_BIT(MAX_DOWNTIME) | CMD_BIT(WIRE_RATE) | CMD_BIT(JSON),
		.summary = "whether a device can be moved, and how long it would stand still",
		.notes = "Stops nothing and leaves both devices as they were. Exits with 0 if it "
			 "fits, 3 if\n"
			 "the two are not compatible, 4 if the limit would be broken.\n",
	},
	{
		.name = "send",
		.run = cmd_send,
		.operands = "URI... HOST:PORT",
		.nr_operands = 2,
		.most_operands = VFM_UNIT_MAX + 1,
		.options = MOVE_OPTIONS | STORE_OPTIONS | WIRE_OPTIONS | CMD_BIT(ALLOW_NO_P2P),
		.summary = "the source's half of a migration",
		.notes = "Connects to 'vfmig receive' at HOST:PORT, [IPV6]:PORT or "
			 "unix:PATH.\n" UNIT_NOTES WIRE_NOTES,
	},
	{
		.name = "receive",
		.run = cmd_receive,
		.operands = "URI... [HOST:]PORT",
		.nr_operands = 2,
		.most_operands = VFM_UNIT_MAX + 1,
		.options = CMD_BIT(TIMEOUT) | CMD_BIT(MEMORY_LIMIT) | CMD_BIT(MEMORY) |
			   CMD_BIT(CHANNELS) | CMD_BIT(READY_FD) | CMD_BIT(JOURNAL) |
			   STORE_OPTIONS | WIRE_OPTIONS | CMD_BIT(EVENTS) | CMD_BIT(ALLOW_NO_P2P) |
			   CMD_BIT(QUIET) | CMD_BIT(JSON),
		.summary = "the destination's half of a migration",
		.notes = "Waits for one 'vfmig send' at PORT of the loopback address, HOST:PORT,\n"
			 "[IPV6]:PORT or unix:PATH. PORT 0 lets the system choose; the number is\n"
			 "written to --ready-fd, or else to standard error. With --timeout the "
			 "wait for\n"
			 "the source is limited, too.\n" UNIT_NOTES WIRE_NOTES,
	},
	{
		.name = "recover",
		.run = cmd_recover,
		.operands = "DIR",
		.nr_operands = 1,
		.options = CMD_BIT(PEER) | CMD_BIT(LISTEN) | CMD_BIT(OWNER) | CMD_BIT(ID) |
			   CMD_BIT(TIMEOUT) | CMD_BIT(READY_FD) | CMD_BIT(INSECURE) |
			   CMD_BIT(ETCD) | CMD_BIT(ETCD_TLS) | CMD_BIT(ETCD_TIMEOUT) |
			   CMD_BIT(QUIET) | CMD_BIT(JSON),
		.summary = "settle whose device it is after a crash, by the journals in DIR",
		.notes =
			"A journal that names a store is settled by that; --etcd says where else "
			"it "
			"is.\n"
			"What one journal cannot decide, the other side's can: run it on both, "
			"with\n"
			"--listen on one and --peer on the other. What is left needs a person, "
			"who\n"
			"is told what to find out, and says with --owner what it was.\n" WIRE_NOTES,
	},
	{
		.name = "inspect",
		.run = cmd_inspect,
		.operands = "FILE",
		.nr_operands = 1,
		.options = CMD_BIT(RECORDS) | CMD_BIT(JSON),
		.summary = "explain a file written by save",
		.notes =
			"FILE - is standard input. A damaged file is explained up to the damage.\n",
	},
	{
		.name = "verify",
		.run = cmd_verify,
		.operands = "FILE",
		.nr_operands = 1,
		.options = CMD_BIT(JSON),
		.summary = "prove that a file written by save is whole",
		.notes = "FILE - is standard input.\n",
	},
	{
		.name = "demo",
		.run = cmd_demo,
		.operands = "",
		.nr_operands = 0,
		.options = CMD_BIT(STATE) | CMD_BIT(DEMO_MEMORY) | CMD_BIT(DIRTY) |
			   CMD_BIT(DMA_RATE) | CMD_BIT(MAX_DOWNTIME) | CMD_BIT(MAX_ROUNDS) |
			   CMD_BIT(MAX_TIME) | CMD_BIT(ON_LIMIT) | CMD_BIT(MEMORY_LIMIT) |
			   CMD_BIT(PROTOCOL) | CMD_BIT(BRIDGE) | CMD_BIT(DATA) |
			   CMD_BIT(DATA_SIZE) | CMD_BIT(EVENTS) | CMD_BIT(KEEP) | CMD_BIT(QUIET) |
			   CMD_BIT(JSON),
		.summary = "the whole thing on software devices",
		.notes = "Starts two servers of software devices, lets the first do DMA into "
			 "memory of\n"
			 "ours, moves it to the second while it works, over vfio-user sockets and "
			 "TCP\n"
			 "on the loopback address, and proves every byte of memory and state.\n",
	},
};

const struct cmd_verb *cmd_verb_at(size_t n)
{
	return n < VFM_ARRAY_SIZE(verbs) ? &verbs[n] : NULL;
}
