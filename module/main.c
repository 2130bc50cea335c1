// SPDX-License-Identifier: GPL-2.0-only
// Copyright (c) vfmig authors

/*
 * The module: a parent that has no hardware, its types of mediated devices, and the
 * making and removing of these. What a device does is in device.c and below.
 */

#include "vfmig_sim.h"

#include <linux/init.h>
#include <linux/vmalloc.h>

#define NAME "vfmig_sim"

struct vfms_type {
	struct mdev_type type;
	u32 uapi;
};

static struct vfms_type types[] = {
	{ { .sysfs_name = "v1", .pretty_name = "migration region" }, VFMS_UAPI_V1 },
	{ { .sysfs_name = "v2", .pretty_name = "migration features" }, VFMS_UAPI_V2 },
	{ { .sysfs_name = "both", .pretty_name = "migration region and features" },
	  VFMS_UAPI_V1 | VFMS_UAPI_V2 },
};

static struct mdev_type *type_list[ARRAY_SIZE(types)];

static struct class *class;
static struct device *root;
static struct mdev_parent parent;

/* ---- one device ------------------------------------------------------------------ */

static void free_memory(struct vfms *d)
{
	vfms_load_free(d);
	vfms_save_free(d);
	vfms_v1_free(d);
	vfree(d->mem);
	vfree(d->state);
	kvfree(d->scratch);
}

/* Accounted to whoever makes the device, but for what users can map. */
static int get_memory(struct vfms *d)
{
	d->pages = d->params.state / VFMS_PAGE;
	d->mem = vmalloc_user(d->params.bar);
	d->state = __vmalloc(d->params.state, GFP_KERNEL_ACCOUNT);
	d->scratch = kvmalloc(VFMS_CHUNK, GFP_KERNEL_ACCOUNT);
	if (d->mem && d->state && d->scratch && !vfms_v1_new(d) && !vfms_save_new(d) &&
	    !vfms_load_new(d))
		return 0;
	free_memory(d);
	return -ENOMEM;
}

static void set_migration(struct vfms *d)
{
	bool lacking = vfms_fault(d, FAULT_WITHOUT_CAPABILITY);

	if (d->params.uapi & VFMS_UAPI_V2 || lacking)
		d->vdev.mig_ops = &vfms_migration_ops;
	d->vdev.migration_flags = lacking ? 0 : d->params.features;
	if (d->params.uapi & VFMS_UAPI_V2 && d->params.log)
		d->vdev.log_ops = &vfms_log_ops;
}

int vfms_init(struct vfio_device *vdev)
{
	struct vfms *d = container_of(vdev, struct vfms, vdev);
	struct mdev_device *mdev = to_mdev_device(vdev->dev);
	struct vfms_type *type = container_of(mdev->type, struct vfms_type, type);
	int ret = vfms_params_take(&d->params, type->uapi, d->faults, vdev->dev);

	if (ret)
		return ret;
	snprintf(d->params_text, sizeof(d->params_text), "state=%llu,bar=%llu,vectors=%u%s",
		 d->params.state, d->params.bar, d->params.vectors,
		 d->params.iobar ? ",iobar=1" : "");
	mutex_init(&d->lock);
	mutex_init(&d->log_lock);
	mutex_init(&d->pin_lock);
	xa_init(&d->pins);
	init_waitqueue_head(&d->readable);
	INIT_DELAYED_WORK(&d->tick, vfms_tick);
	vfms_log_init(d);
	ret = get_memory(d);
	if (ret)
		return ret;
	set_migration(d);
	vfms_reset(d);
	return 0;
}

void vfms_release(struct vfio_device *vdev)
{
	struct vfms *d = container_of(vdev, struct vfms, vdev);

	vfms_log_end(d);
	free_memory(d);
	mutex_destroy(&d->pin_lock);
	mutex_destroy(&d->log_lock);
	mutex_destroy(&d->lock);
	vfms_free_device(vdev);
}

static int probe(struct mdev_device *mdev)
{
	struct vfms *d = vfio_alloc_device(vfms, vdev, &mdev->dev, &vfms_device_ops);
	int ret;

	if (IS_ERR(d))
		return PTR_ERR(d);
	ret = vfio_register_emulated_iommu_dev(&d->vdev);
	if (ret) {
		vfio_put_device(&d->vdev);
		return ret;
	}
	dev_set_drvdata(&mdev->dev, d);
	return 0;
}

static void remove(struct mdev_device *mdev)
{
	struct vfms *d = dev_get_drvdata(&mdev->dev);

	vfio_unregister_group_dev(&d->vdev);
	vfio_put_device(&d->vdev);
}

static unsigned int get_available(struct mdev_type *type)
{
	return atomic_read(&type->parent->available_instances);
}

static ssize_t show_description(struct mdev_type *type, char *page)
{
	return sysfs_emit(page, "software device of vfmig: %s\n", type->pretty_name);
}

static struct mdev_driver driver = {
	.device_api = VFIO_DEVICE_API_PCI_STRING,
	.driver = {
		.name = NAME,
		.owner = THIS_MODULE,
		.mod_name = KBUILD_MODNAME,
		.dev_groups = vfms_attr_groups,
	},
	.probe = probe,
	.remove = remove,
	.get_available = get_available,
	.show_description = show_description,
};

/* ---- the parent ------------------------------------------------------------------ */

static int make_root(void)
{
	class = vfms_class_create(NAME);
	if (IS_ERR(class))
		return PTR_ERR(class);
	root = device_create(class, NULL, MKDEV(0, 0), NULL, NAME);
	if (!IS_ERR(root))
		return 0;
	class_destroy(class);
	return PTR_ERR(root);
}

static void free_root(void)
{
	device_unregister(root);
	class_destroy(class);
}

static int __init start(void)
{
	int ret = make_root();
	u32 i;

	if (ret)
		return ret;
	for (i = 0; i < ARRAY_SIZE(types); i++)
		type_list[i] = &types[i].type;
	driver.max_instances = vfms_params_instances();
	ret = mdev_register_driver(&driver);
	if (ret)
		goto err_root;
	ret = mdev_register_parent(&parent, root, &driver, type_list, ARRAY_SIZE(types));
	if (ret)
		goto err_driver;
	return 0;

err_driver:
	mdev_unregister_driver(&driver);
err_root:
	free_root();
	return ret;
}

static void __exit stop(void)
{
	mdev_unregister_parent(&parent);
	mdev_unregister_driver(&driver);
	free_root();
}

module_init(start);
module_exit(stop);

MODULE_LICENSE("GPL");
MODULE_AUTHOR("vfmig authors");
MODULE_DESCRIPTION("mediated test device for VFIO migration, protocols v1 and v2");
VFMS_IMPORT_NS;
