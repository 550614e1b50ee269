/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * The little that the programs need to know of the kernel: helper numbers (fixed by the kernel's user-space
 * interface), map declarations as BTF describes them, and the few fields of the few structs that are read.
 * Offsets are relocated at load time, so one object fits every kernel with BTF.
 */
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef int s32;
typedef unsigned long long u64;
typedef long long s64;

#define SEC(name) __attribute__((section(name), used))
#define INLINE static inline __attribute__((always_inline))

#define MAP_TYPE(value) int(*type)[value]
#define MAP_ENTRIES(value) int(*max_entries)[value]

enum map_type { PER_CPU_ARRAY = 6, LRU_HASH = 9, RING_BUFFER = 27 };
enum map_update { UPDATE_ANY = 0, UPDATE_NEW = 1 };

static void *(*const map_lookup)(void *map, const void *key) = (void *)1;
static long (*const map_update)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static long (*const map_delete)(void *map, const void *key) = (void *)3;
static u64 (*const current_pid_tgid)(void) = (void *)14;
static long (*const current_comm)(void *buf, u32 size) = (void *)16;
static u64 (*const current_task)(void) = (void *)35;
static long (*const read_user)(void *dst, u32 size, const void *from) = (void *)112;
static long (*const read_kernel)(void *dst, u32 size, const void *from) = (void *)113;
static long (*const read_kernel_str)(void *dst, u32 size, const void *from) = (void *)115;
static u64 (*const boot_time_ns)(void) = (void *)125;
static void *(*const ring_reserve)(void *ring, u64 size, u64 flags) = (void *)131;
static void (*const ring_submit)(void *data, u64 flags) = (void *)132;

static void *(*const current_task_btf)(void) = (void *)158;
/* Calls back with the area that an address of a process lies in. Since 5.17. */
static long (*const find_vma)(void *task, u64 address, void *callback, void *context, u64 flags) = (void *)180;

#define KERNEL __attribute__((preserve_access_index))

/* Reads one field of a kernel struct; zero when the address is not readable. */
#define FIELD(from, field)                                                                                           \
	({                                                                                                           \
		__typeof__((from)->field) value__ = 0;                                                               \
		read_kernel(&value__, sizeof(value__), &(from)->field);                                              \
		value__;                                                                                             \
	})
#define OFFSET_OF(type, field) __builtin_preserve_field_info(((type *)0)->field, 0)
#define SIZE_OF(type) __builtin_preserve_type_info(*(type *)0, 1)
#define ENUM_EXISTS(type, name) __builtin_preserve_enum_value(*(type *)name, 0)
#define ENUM_VALUE(type, name) __builtin_preserve_enum_value(*(type *)name, 1)

struct super_block {
	u32 s_dev;
	unsigned long s_magic;
} KERNEL;

struct inode {
	struct super_block *i_sb;
	unsigned long i_ino;
	const unsigned int i_nlink;
} KERNEL;

struct qstr {
	u32 len;
	const u8 *name;
} KERNEL;

struct dentry {
	struct dentry *d_parent;
	struct qstr d_name;
} KERNEL;

struct vfsmount {
	struct dentry *mnt_root;
	struct super_block *mnt_sb;
} KERNEL;

struct ns_common {
	u32 inum;
} KERNEL;

struct mnt_namespace {
	struct ns_common ns;
} KERNEL;

struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
	struct mnt_namespace *mnt_ns;
} KERNEL;

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
} KERNEL;

struct file {
	struct path f_path;
	struct inode *f_inode;
} KERNEL;

struct vm_area_struct {
	struct file *vm_file;
} KERNEL;

struct fs_struct {
	struct path root;
} KERNEL;

struct fdtable {
	u32 max_fds;
	struct file **fd;
} KERNEL;

struct files_struct {
	struct fdtable *fdt;
} KERNEL;

struct mm_struct {
	struct file *exe_file;
	unsigned long arg_start;
	unsigned long arg_end;
} KERNEL;

struct pid_namespace {
	struct ns_common ns;
} KERNEL;

struct upid {
	s32 nr;
	struct pid_namespace *ns;
} KERNEL;

struct pid {
	u32 level;
	struct upid numbers[1];
} KERNEL;

struct nsproxy {
	struct mnt_namespace *mnt_ns;
} KERNEL;

struct kernfs_node {
	const char *name;
	u64 id;
} KERNEL;

struct cgroup_subsys_state {
	struct cgroup *cgroup;
	struct cgroup_subsys_state *parent;
} KERNEL;

struct cgroup {
	struct cgroup_subsys_state self;
	struct kernfs_node *kn;
} KERNEL;

struct css_set {
	struct cgroup_subsys_state *subsys[1];
	struct cgroup *dfl_cgrp;
} KERNEL;

enum cgroup_subsys_id { memory_cgrp_id = 1, pids_cgrp_id = 2 };

typedef struct {
	s32 counter;
} KERNEL atomic_t;

struct signal_struct {
	atomic_t live;
} KERNEL;

struct task_struct {
	struct task_struct *group_leader;
	struct pid *thread_pid;
	struct mm_struct *mm;
	struct files_struct *files;
	struct fs_struct *fs;
	struct nsproxy *nsproxy;
	struct css_set *cgroups;
	struct signal_struct *signal;
	u64 start_boottime;
} KERNEL;
