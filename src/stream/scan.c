// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Reading a whole file to prove it and to say what is in it. */

#include <vfmig/stream.h>

#include "base/util.h"
#include "stream/format.h"

static int scan_record(struct vfm_stream_summary *summary, const struct vfm_stream_record *record,
		       struct vfm_err *err)
{
	if (record->type != VFM_STREAM_IDENTITY || record->device)
		return 0;
	return vfm_stream_parse_identity(&summary->identity, record, err);
}

static int scan_records(struct vfm_stream_reader *r, struct vfm_stream_summary *summary,
			int (*each)(void *user, const struct vfm_stream_record *record), void *user,
			struct vfm_err *err)
{
	struct vfm_stream_record record;
	int ret;

	while ((ret = vfm_stream_next(r, &record, err)) == 1) {
		ret = scan_record(summary, &record, err);
		if (!ret && each)
			ret = each(user, &record);
		if (ret)
			break;
	}
	return ret;
}

VFM_API int vfm_stream_scan(int fd, struct vfm_stream_summary *summary,
			    int (*each)(void *user, const struct vfm_stream_record *record),
			    void *user, struct vfm_err *err)
{
	struct vfm_stream_reader *r;
	int ret;

	*summary = (struct vfm_stream_summary){ 0 };
	ret = vfm_stream_reader_new(&r, fd, NULL, err);
	if (ret)
		return ret;
	vfm_stream_set_file(r);
	ret = scan_records(r, summary, each, user, err);
	vfm_stream_progress(r, summary);
	vfm_stream_reader_free(r);
	return ret;
}
