// SPDX-License-Identifier: GPL-2.0-only
// Copyright (c) vfmig authors

/* The names of the bugs; see faults.h. */

#include "faults.h"

#include <linux/bitmap.h>
#include <linux/bitops.h>
#include <linux/errno.h>
#include <linux/string.h>
#include <linux/sysfs.h>

static const char *const names[VFMS_NR_FAULTS] = {
	[FAULT_SAME_STATE_REFUSED] = "same-state-refused",
	[FAULT_ERROR_ACCEPTED] = "error-accepted",
	[FAULT_STATE_OFF_BY_ONE] = "state-off-by-one",
	[FAULT_STOP_COPY_LOOP] = "stop-copy-loop",
	[FAULT_ERROR_LEFT] = "error-left-without-reset",
	[FAULT_COMMITTED_EARLY] = "state-committed-early",
	[FAULT_P2P_CLAIMED] = "p2p-claimed",
	[FAULT_BEGINS_IN_STOP] = "begins-in-stop",
	[FAULT_WITHOUT_CAPABILITY] = "operations-without-capability",
	[FAULT_TRUNCATED_ACCEPTED] = "truncated-accepted",
	[FAULT_PAYLOAD_UNCHECKED] = "payload-unchecked",
	[FAULT_FOREIGN_ACCEPTED] = "foreign-accepted",
	[FAULT_MODEL_UNCHECKED] = "model-unchecked",
	[FAULT_OVERSIZE_ACCEPTED] = "oversize-accepted",
	[FAULT_RESUME_OVERFLOW] = "resume-overflow",
	[FAULT_REFUSAL_FORGOTTEN] = "refusal-forgotten",
	[FAULT_SHORT_WRITE_LOST] = "short-write-lost",
	[FAULT_SHORT_READ_LOST] = "short-read-lost",
	[FAULT_POSITION_LOST] = "precopy-position-lost",
	[FAULT_PRECOPY_FROZEN] = "precopy-frozen",
	[FAULT_LOAD_NOT_APPLIED] = "load-not-applied",
	[FAULT_INFO_ANYWHERE] = "precopy-info-anywhere",
	[FAULT_FLAGS_ECHOED] = "precopy-flags-echoed",
	[FAULT_INITIAL_ZERO] = "initial-zero",
	[FAULT_INITIAL_NEVER_DONE] = "initial-never-done",
	[FAULT_DIRTY_NEVER_COMES] = "dirty-never-comes",
	[FAULT_PRECOPY_END_ZERO] = "precopy-end-zero",
	[FAULT_STOP_COPY_ENOMSG] = "stop-copy-enomsg",
	[FAULT_OUTLIVES_SAVING] = "session-outlives-saving",
	[FAULT_POSITION_KEPT] = "position-kept",
	[FAULT_RESET_KEEPS_STATE] = "reset-keeps-state",
	[FAULT_RESET_KEEPS_SESSION] = "reset-keeps-session",
	[FAULT_RESET_KEEPS_CONTENT] = "reset-keeps-content",
	[FAULT_SIZE_NOT_RESUMING] = "size-not-while-resuming",
	[FAULT_SIZE_ZERO] = "size-zero",
	[FAULT_SIZE_NEGATIVE] = "size-negative",
	[FAULT_SIZE_TOO_SMALL] = "size-too-small",
	[FAULT_SIZE_TOO_LARGE] = "size-too-large",
	[FAULT_DMA_AFTER_STOP] = "dma-after-stop",
	[FAULT_DMA_IN_P2P] = "dma-in-p2p",
	[FAULT_IRQ_AFTER_STOP] = "irq-after-stop",
	[FAULT_IRQ_FORGOTTEN] = "irq-forgotten",
	[FAULT_IRQ_LOST_ON_RESET] = "irq-lost-on-reset",
	[FAULT_LOG_LOSES_PAGES] = "log-loses-pages",
	[FAULT_LOG_NOT_CLEARED] = "log-not-cleared",
	[FAULT_LOG_ALL_DIRTY] = "log-all-dirty",
	[FAULT_LOG_DOUBLE_START] = "log-double-start",
	[FAULT_LOG_REMEMBERS] = "log-remembers",
	[FAULT_LOG_CLEARED_BY_STOP] = "log-cleared-by-stop",
	[FAULT_LOG_LOST_ON_RESET] = "log-lost-on-reset",
	[FAULT_V1_NO_STOP] = "v1-no-stop",
	[FAULT_V1_NO_PRE_COPY] = "v1-no-pre-copy",
	[FAULT_V1_MUST_DRAIN] = "v1-must-drain",
	[FAULT_V1_NO_CANCEL] = "v1-no-cancel",
	[FAULT_V1_SAME_REFUSED] = "v1-same-refused",
	[FAULT_V1_NO_PAUSED_SAVE] = "v1-no-paused-save",
	[FAULT_V1_ERROR_WRITABLE] = "v1-error-writable",
	[FAULT_V1_BITS_TAKEN] = "v1-reserved-bits-taken",
	[FAULT_V1_BITS_REFUSED] = "v1-reserved-bits-refused",
	[FAULT_V1_BITS_LOST] = "v1-reserved-bits-lost",
	[FAULT_V1_WORD_REFUSED] = "v1-reserved-word-refused",
	[FAULT_V1_ANY_WIDTH] = "v1-any-width",
	[FAULT_V1_STICKY_ZERO] = "v1-sticky-zero",
	[FAULT_V1_PENDING_ACKS] = "v1-pending-acknowledges",
	[FAULT_V1_STAGED_LOST] = "v1-staged-lost",
	[FAULT_V1_CHUNK_TWICE] = "v1-chunk-twice",
	[FAULT_V1_OFFSET_ZERO] = "v1-offset-zero",
	[FAULT_V1_CHUNK_BEYOND] = "v1-chunk-beyond",
	[FAULT_V1_EMPTY_CHUNK] = "v1-empty-chunk",
	[FAULT_V1_RESUME_OFFSET_ZERO] = "v1-resume-offset-zero",
	[FAULT_V1_OVERSIZE] = "v1-oversize-accepted",
	[FAULT_V1_RESET_KEEPS_STATE] = "v1-reset-keeps-state",
};

static int find(const char *name, size_t len)
{
	int i;

	for (i = 0; i < VFMS_NR_FAULTS; i++)
		if (strlen(names[i]) == len && !strncmp(names[i], name, len))
			return i;
	return -EINVAL;
}

int vfms_faults_parse(const char *text, unsigned long *faults)
{
	DECLARE_BITMAP(found, VFMS_NR_FAULTS);

	bitmap_zero(found, VFMS_NR_FAULTS);
	for (;;) {
		size_t len = strcspn(text, ",\n");
		int fault = len ? find(text, len) : 0;

		if (fault < 0)
			return fault;
		if (len)
			__set_bit(fault, found);
		text += len;
		if (!*text)
			break;
		text++;
	}
	bitmap_copy(faults, found, VFMS_NR_FAULTS);
	return 0;
}

ssize_t vfms_faults_print(const unsigned long *faults, char *page)
{
	const char *comma = "";
	ssize_t len = 0;
	unsigned int i;

	for_each_set_bit(i, faults, VFMS_NR_FAULTS) {
		len += sysfs_emit_at(page, len, "%s%s", comma, names[i]);
		comma = ",";
	}
	return len + sysfs_emit_at(page, len, "\n");
}
