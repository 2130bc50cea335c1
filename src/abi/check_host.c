// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Compares our text of the uAPI with the host's <linux/vfio.h> and <linux/iommufd.h>,
 * for whatever they have. It has no code; it compiles or it does not.
 */

#include <vfmig/device.h>
#include <vfmig/v1.h>

#include "abi/iommufd.h"
#include "abi/vfio.h"

#define SAME(ours, theirs) _Static_assert((unsigned long long)(ours) == (theirs), #theirs)
#define SAME_SIZE(ours, theirs)                                                                    \
	_Static_assert(sizeof(struct ours) == sizeof(struct theirs), #theirs)
#define SAME_PLACE(ours, our_member, theirs, member)                                               \
	_Static_assert(offsetof(struct ours, our_member) == offsetof(struct theirs, member),       \
		       #theirs "." #member)

#if __has_include(<linux/vfio.h>)

#include <linux/vfio.h>

/* Any host: device, regions, interrupts, DMA. */
SAME(VFM_CONTAINER_GET_API_VERSION, VFIO_GET_API_VERSION);
SAME(VFM_CONTAINER_CHECK_EXTENSION, VFIO_CHECK_EXTENSION);
SAME(VFM_CONTAINER_SET_IOMMU, VFIO_SET_IOMMU);
SAME(VFM_CONTAINER_GET_INFO, VFIO_IOMMU_GET_INFO);
SAME(VFM_CONTAINER_MAP_DMA, VFIO_IOMMU_MAP_DMA);
SAME(VFM_CONTAINER_UNMAP_DMA, VFIO_IOMMU_UNMAP_DMA);
SAME(VFM_GROUP_GET_STATUS, VFIO_GROUP_GET_STATUS);
SAME(VFM_GROUP_SET_CONTAINER, VFIO_GROUP_SET_CONTAINER);
SAME(VFM_GROUP_GET_DEVICE_FD, VFIO_GROUP_GET_DEVICE_FD);
SAME(VFM_DEVICE_GET_INFO, VFIO_DEVICE_GET_INFO);
SAME(VFM_DEVICE_GET_REGION_INFO, VFIO_DEVICE_GET_REGION_INFO);
SAME(VFM_DEVICE_GET_IRQ_INFO, VFIO_DEVICE_GET_IRQ_INFO);
SAME(VFM_DEVICE_SET_IRQS, VFIO_DEVICE_SET_IRQS);
SAME(VFM_DEVICE_DO_RESET, VFIO_DEVICE_RESET);
SAME(VFM_DEVICE_FEATURE, VFIO_DEVICE_FEATURE);
SAME(VFM_VFIO_API_VERSION, VFIO_API_VERSION);
SAME(VFM_IOMMU_TYPE1V2, VFIO_TYPE1v2_IOMMU);
SAME(VFM_IOMMU_NONE, VFIO_NOIOMMU_IOMMU);
SAME(VFM_GROUP_VIABLE, VFIO_GROUP_FLAGS_VIABLE);
SAME_SIZE(vfm_abi_group_status, vfio_group_status);
SAME_PLACE(vfm_abi_device_info, num_irqs, vfio_device_info, num_irqs);
SAME_SIZE(vfm_abi_region_info, vfio_region_info);
SAME_PLACE(vfm_abi_region_info, offset, vfio_region_info, offset);
SAME_SIZE(vfm_abi_irq_info, vfio_irq_info);
SAME_PLACE(vfm_abi_irq_info, count, vfio_irq_info, count);
SAME_SIZE(vfm_abi_irq_set, vfio_irq_set);
SAME_PLACE(vfm_abi_irq_set, count, vfio_irq_set, count);
SAME(VFM_TYPE1_INFO_PGSIZES, VFIO_IOMMU_INFO_PGSIZES);
SAME_PLACE(vfm_abi_type1_info, iova_pgsizes, vfio_iommu_type1_info, iova_pgsizes);
SAME_SIZE(vfm_abi_dma_map, vfio_iommu_type1_dma_map);
SAME_PLACE(vfm_abi_dma_map, size, vfio_iommu_type1_dma_map, size);
SAME_SIZE(vfm_abi_dma_unmap, vfio_iommu_type1_dma_unmap);
SAME_PLACE(vfm_abi_dma_unmap, size, vfio_iommu_type1_dma_unmap, size);
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

/* Linux 5.4 and later: what a container can do. */
#ifdef VFIO_IOMMU_INFO_CAPS
SAME(VFM_TYPE1_INFO_CAPS, VFIO_IOMMU_INFO_CAPS);
SAME(VFM_TYPE1_CAP_IOVA_RANGE, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE);
SAME_PLACE(vfm_abi_type1_info, cap_offset, vfio_iommu_type1_info, cap_offset);
#endif
#ifdef VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL
SAME(VFM_TYPE1_CAP_DMA_AVAIL, VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL);
#endif

/* Linux 5.8: its dirty pages. */
#ifdef VFIO_IOMMU_DIRTY_PAGES
SAME(VFM_TYPE1_CAP_MIGRATION, VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION);
SAME(VFM_CONTAINER_DIRTY_PAGES, VFIO_IOMMU_DIRTY_PAGES);
SAME(VFM_DIRTY_START, VFIO_IOMMU_DIRTY_PAGES_FLAG_START);
SAME(VFM_DIRTY_STOP, VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP);
SAME(VFM_DIRTY_GET, VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP);
SAME(VFM_UNMAP_GET_DIRTY_BITMAP, VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP);
SAME_SIZE(vfm_abi_bitmap, vfio_bitmap);
SAME_SIZE(vfm_abi_dirty_bitmap, vfio_iommu_type1_dirty_bitmap);
SAME_SIZE(vfm_abi_dirty_get, vfio_iommu_type1_dirty_bitmap_get);
#endif

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
SAME(VFM_MIG_GET_PRECOPY_INFO, VFIO_MIG_GET_PRECOPY_INFO);
SAME_SIZE(vfm_abi_precopy_info, vfio_precopy_info);
SAME_PLACE(vfm_abi_precopy_info, initial_bytes, vfio_precopy_info, initial_bytes);
SAME_PLACE(vfm_abi_precopy_info, dirty_bytes, vfio_precopy_info, dirty_bytes);
#endif

#ifdef VFIO_DEVICE_FEATURE_MIG_DATA_SIZE
SAME(VFM_FEATURE_MIG_DATA_SIZE, VFIO_DEVICE_FEATURE_MIG_DATA_SIZE);
SAME_SIZE(vfm_abi_data_size, vfio_device_feature_mig_data_size);
#endif

/* Linux 6.6: devices without a group. */
#ifdef VFIO_DEVICE_BIND_IOMMUFD
SAME(VFM_DEVICE_BIND_IOMMUFD, VFIO_DEVICE_BIND_IOMMUFD);
SAME(VFM_DEVICE_ATTACH_IOMMUFD_PT, VFIO_DEVICE_ATTACH_IOMMUFD_PT);
SAME_PLACE(vfm_abi_bind_iommufd, out_devid, vfio_device_bind_iommufd, out_devid);
SAME_PLACE(vfm_abi_attach_pt, pt_id, vfio_device_attach_iommufd_pt, pt_id);
#endif
#ifdef VFIO_DEVICE_BIND_FLAG_TOKEN
SAME(VFM_BIND_TOKEN, VFIO_DEVICE_BIND_FLAG_TOKEN);
SAME_PLACE(vfm_abi_bind_iommufd, token, vfio_device_bind_iommufd, token_uuid_ptr);
#endif

/* Linux 7.2: new initial data in the middle of pre-copy. */
#ifdef VFIO_PRECOPY_INFO_REINIT
SAME(VFM_PRECOPY_INFO_REINIT, VFIO_PRECOPY_INFO_REINIT);
#endif
#ifdef VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2
SAME(VFM_FEATURE_MIG_PRECOPY_INFOV2, VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2);
#endif

#endif

/* Linux 6.2: address spaces of their own. */
#if __has_include(<linux/iommufd.h>)

#include <linux/iommufd.h>

SAME(VFM_IOMMUFD_DESTROY, IOMMU_DESTROY);
SAME(VFM_IOMMUFD_IOAS_ALLOC, IOMMU_IOAS_ALLOC);
SAME(VFM_IOMMUFD_IOAS_IOVA_RANGES, IOMMU_IOAS_IOVA_RANGES);
SAME(VFM_IOMMUFD_IOAS_MAP, IOMMU_IOAS_MAP);
SAME(VFM_IOMMUFD_IOAS_UNMAP, IOMMU_IOAS_UNMAP);
SAME(VFM_IOAS_MAP_FIXED_IOVA, IOMMU_IOAS_MAP_FIXED_IOVA);
SAME(VFM_IOAS_MAP_WRITE, IOMMU_IOAS_MAP_WRITEABLE);
SAME(VFM_IOAS_MAP_READ, IOMMU_IOAS_MAP_READABLE);
SAME_SIZE(vfm_abi_iommu_destroy, iommu_destroy);
SAME_SIZE(vfm_abi_ioas_alloc, iommu_ioas_alloc);
SAME_SIZE(vfm_abi_iova_range, iommu_iova_range);
SAME_SIZE(vfm_abi_ioas_iova_ranges, iommu_ioas_iova_ranges);
SAME_PLACE(vfm_abi_ioas_iova_ranges, out_iova_alignment, iommu_ioas_iova_ranges,
	   out_iova_alignment);
SAME_SIZE(vfm_abi_ioas_map, iommu_ioas_map);
SAME_PLACE(vfm_abi_ioas_map, user_va, iommu_ioas_map, user_va);
SAME_PLACE(vfm_abi_ioas_map, iova, iommu_ioas_map, iova);
SAME_SIZE(vfm_abi_ioas_unmap, iommu_ioas_unmap);
SAME_PLACE(vfm_abi_ioas_unmap, length, iommu_ioas_unmap, length);

/* Linux 6.7: their dirty pages. */
#ifdef IOMMU_HWPT_SET_DIRTY_TRACKING
SAME(VFM_IOMMUFD_HWPT_ALLOC, IOMMU_HWPT_ALLOC);
SAME(VFM_IOMMUFD_HWPT_SET_DIRTY, IOMMU_HWPT_SET_DIRTY_TRACKING);
SAME(VFM_IOMMUFD_HWPT_GET_DIRTY, IOMMU_HWPT_GET_DIRTY_BITMAP);
SAME(VFM_HWPT_ALLOC_DIRTY_TRACKING, IOMMU_HWPT_ALLOC_DIRTY_TRACKING);
SAME(VFM_HWPT_DIRTY_ENABLE, IOMMU_HWPT_DIRTY_TRACKING_ENABLE);
SAME_PLACE(vfm_abi_hwpt_alloc, data_uptr, iommu_hwpt_alloc, data_uptr);
SAME_SIZE(vfm_abi_hwpt_set_dirty, iommu_hwpt_set_dirty_tracking);
SAME_SIZE(vfm_abi_hwpt_get_dirty, iommu_hwpt_get_dirty_bitmap);
SAME_PLACE(vfm_abi_hwpt_get_dirty, data, iommu_hwpt_get_dirty_bitmap, data);
#endif

#endif
