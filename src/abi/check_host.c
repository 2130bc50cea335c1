// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Compares our text of the uAPI with the host's <linux/vfio.h>, for whatever
 * that one has. It has no code; it compiles or it does not.
 */

#if __has_include(<linux/vfio.h>)

#include <linux/vfio.h>

#include <vfmig/device.h>
#include <vfmig/v1.h>

#include "abi/vfio.h"

#define SAME(ours, theirs) _Static_assert((unsigned long long)(ours) == (theirs), #theirs)
#define SAME_SIZE(ours, theirs)                                                                    \
	_Static_assert(sizeof(struct ours) == sizeof(struct theirs), #theirs)
#define SAME_PLACE(ours, our_member, theirs, member)                                               \
	_Static_assert(offsetof(struct ours, our_member) == offsetof(struct theirs, member),       \
		       #theirs "." #member)

/* Any host: device, regions, interrupts, DMA. */
SAME(VFM_DEVICE_RESET, VFIO_DEVICE_FLAGS_RESET);
SAME(VFM_DEVICE_PCI, VFIO_DEVICE_FLAGS_PCI);
SAME(VFM_REGION_READ, VFIO_REGION_INFO_FLAG_READ);
SAME(VFM_REGION_WRITE, VFIO_REGION_INFO_FLAG_WRITE);
SAME(VFM_REGION_MMAP, VFIO_REGION_INFO_FLAG_MMAP);
SAME(VFM_REGION_FLAG_CAPS, VFIO_REGION_INFO_FLAG_CAPS);
SAME(VFM_REGION_CAP_SPARSE_MMAP, VFIO_REGION_INFO_CAP_SPARSE_MMAP);
SAME(VFM_REGION_CAP_TYPE, VFIO_REGION_INFO_CAP_TYPE);
SAME_SIZE(vfm_abi_cap_header, vfio_info_cap_header);
SAME(VFM_IRQ_EVENTFD, VFIO_IRQ_INFO_EVENTFD);
SAME(VFM_IRQ_MASKABLE, VFIO_IRQ_INFO_MASKABLE);
SAME(VFM_IRQ_AUTOMASKED, VFIO_IRQ_INFO_AUTOMASKED);
SAME(VFM_IRQ_NORESIZE, VFIO_IRQ_INFO_NORESIZE);
SAME(VFM_IRQ_SET_DATA_NONE, VFIO_IRQ_SET_DATA_NONE);
SAME(VFM_IRQ_SET_DATA_BOOL, VFIO_IRQ_SET_DATA_BOOL);
SAME(VFM_IRQ_SET_DATA_EVENTFD, VFIO_IRQ_SET_DATA_EVENTFD);
SAME(VFM_IRQ_SET_ACTION_MASK, VFIO_IRQ_SET_ACTION_MASK);
SAME(VFM_IRQ_SET_ACTION_UNMASK, VFIO_IRQ_SET_ACTION_UNMASK);
SAME(VFM_IRQ_SET_ACTION_TRIGGER, VFIO_IRQ_SET_ACTION_TRIGGER);
SAME(VFM_DMA_READ, VFIO_DMA_MAP_FLAG_READ);
SAME(VFM_DMA_WRITE, VFIO_DMA_MAP_FLAG_WRITE);
SAME(VFM_PCI_NR_REGIONS, VFIO_PCI_NUM_REGIONS);
SAME(VFM_PCI_NR_IRQS, VFIO_PCI_NUM_IRQS);
SAME(VFM_PCI_CONFIG, VFIO_PCI_CONFIG_REGION_INDEX);
SAME(VFM_PCI_MSIX, VFIO_PCI_MSIX_IRQ_INDEX);

SAME(VFM_FEATURE_MASK, VFIO_DEVICE_FEATURE_MASK);
SAME(VFM_FEATURE_GET, VFIO_DEVICE_FEATURE_GET);
SAME(VFM_FEATURE_SET, VFIO_DEVICE_FEATURE_SET);
SAME(VFM_FEATURE_PROBE, VFIO_DEVICE_FEATURE_PROBE);
SAME_SIZE(vfm_abi_feature, vfio_device_feature);

/* Linux 5.8 to today: protocol v1, under the names of before 5.18 or those of after it. */
#ifdef VFIO_REGION_TYPE_MIGRATION
SAME(VFM_V1_REGION_TYPE, VFIO_REGION_TYPE_MIGRATION);
SAME(VFM_V1_REGION_SUBTYPE, VFIO_REGION_SUBTYPE_MIGRATION);
#endif
#ifdef VFIO_REGION_TYPE_MIGRATION_DEPRECATED
SAME(VFM_V1_REGION_TYPE, VFIO_REGION_TYPE_MIGRATION_DEPRECATED);
SAME(VFM_V1_REGION_SUBTYPE, VFIO_REGION_SUBTYPE_MIGRATION_DEPRECATED);
#endif
#ifdef VFIO_DEVICE_STATE_SAVING
SAME(VFM_V1_RUNNING, VFIO_DEVICE_STATE_RUNNING);
SAME(VFM_V1_SAVING, VFIO_DEVICE_STATE_SAVING);
SAME(VFM_V1_RESUMING, VFIO_DEVICE_STATE_RESUMING);
#endif
#ifdef VFIO_DEVICE_STATE_V1_SAVING
SAME(VFM_V1_RUNNING, VFIO_DEVICE_STATE_V1_RUNNING);
SAME(VFM_V1_SAVING, VFIO_DEVICE_STATE_V1_SAVING);
SAME(VFM_V1_RESUMING, VFIO_DEVICE_STATE_V1_RESUMING);
#endif
#ifdef VFIO_DEVICE_STATE_SET_ERROR
SAME_SIZE(vfm_v1_registers, vfio_device_migration_info);
SAME_PLACE(vfm_v1_registers, pending_bytes, vfio_device_migration_info, pending_bytes);
SAME_PLACE(vfm_v1_registers, data_offset, vfio_device_migration_info, data_offset);
SAME_PLACE(vfm_v1_registers, data_size, vfio_device_migration_info, data_size);
#endif

/* Linux 5.18: the state machine. */
#ifdef VFIO_MIGRATION_STOP_COPY
SAME(VFM_MIGRATION_STOP_COPY, VFIO_MIGRATION_STOP_COPY);
SAME(VFM_MIGRATION_P2P, VFIO_MIGRATION_P2P);
SAME(VFM_FEATURE_MIGRATION, VFIO_DEVICE_FEATURE_MIGRATION);
SAME(VFM_FEATURE_MIG_DEVICE_STATE, VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE);
SAME(VFM_STATE_ERROR, VFIO_DEVICE_STATE_ERROR);
SAME(VFM_STATE_STOP, VFIO_DEVICE_STATE_STOP);
SAME(VFM_STATE_RUNNING, VFIO_DEVICE_STATE_RUNNING);
SAME(VFM_STATE_STOP_COPY, VFIO_DEVICE_STATE_STOP_COPY);
SAME(VFM_STATE_RESUMING, VFIO_DEVICE_STATE_RESUMING);
SAME(VFM_STATE_RUNNING_P2P, VFIO_DEVICE_STATE_RUNNING_P2P);
SAME_SIZE(vfm_abi_migration, vfio_device_feature_migration);
SAME_SIZE(vfm_abi_mig_state, vfio_device_feature_mig_state);
SAME_PLACE(vfm_abi_mig_state, data_fd, vfio_device_feature_mig_state, data_fd);
#endif

/* Linux 6.1: the dirty log. */
#ifdef VFIO_DEVICE_FEATURE_DMA_LOGGING_START
SAME(VFM_FEATURE_DMA_LOGGING_START, VFIO_DEVICE_FEATURE_DMA_LOGGING_START);
SAME(VFM_FEATURE_DMA_LOGGING_STOP, VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP);
SAME(VFM_FEATURE_DMA_LOGGING_REPORT, VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT);
SAME_SIZE(vfm_abi_logging_control, vfio_device_feature_dma_logging_control);
SAME_PLACE(vfm_abi_logging_control, ranges, vfio_device_feature_dma_logging_control, ranges);
SAME_SIZE(vfm_abi_logging_range, vfio_device_feature_dma_logging_range);
SAME_SIZE(vfm_abi_logging_report, vfio_device_feature_dma_logging_report);
SAME_PLACE(vfm_abi_logging_report, bitmap, vfio_device_feature_dma_logging_report, bitmap);
#endif

/* Linux 6.2: pre-copy. */
#ifdef VFIO_MIGRATION_PRE_COPY
SAME(VFM_MIGRATION_PRE_COPY, VFIO_MIGRATION_PRE_COPY);
SAME(VFM_STATE_PRE_COPY, VFIO_DEVICE_STATE_PRE_COPY);
SAME(VFM_STATE_PRE_COPY_P2P, VFIO_DEVICE_STATE_PRE_COPY_P2P);
SAME(VFM_NR_STATES, VFIO_DEVICE_STATE_NR);
SAME_SIZE(vfm_abi_precopy_info, vfio_precopy_info);
SAME_PLACE(vfm_abi_precopy_info, initial_bytes, vfio_precopy_info, initial_bytes);
SAME_PLACE(vfm_abi_precopy_info, dirty_bytes, vfio_precopy_info, dirty_bytes);
#endif

#ifdef VFIO_DEVICE_FEATURE_MIG_DATA_SIZE
SAME(VFM_FEATURE_MIG_DATA_SIZE, VFIO_DEVICE_FEATURE_MIG_DATA_SIZE);
SAME_SIZE(vfm_abi_data_size, vfio_device_feature_mig_data_size);
#endif

/* Linux 7.2: new initial data in the middle of pre-copy. */
#ifdef VFIO_PRECOPY_INFO_REINIT
SAME(VFM_PRECOPY_INFO_REINIT, VFIO_PRECOPY_INFO_REINIT);
#endif
#ifdef VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2
SAME(VFM_FEATURE_MIG_PRECOPY_INFOV2, VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2);
#endif

#endif
