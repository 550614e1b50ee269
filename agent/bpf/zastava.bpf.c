// SPDX-License-Identifier: (GPL-2.0-only OR MIT)
/*
 * Which programs start in containers, which files they map executable, and which code files they open.
 *
 *   sched_process_exec ─────┐
 *   security_mmap_file ─────┤
 *   security_file_mprotect ─┼── container? ── new file? ── event ──► ring
 *   security_file_open ─────┤
 *   sched_process_exit ─────┘
 *
 * Everything that identifies a container is captured here: a look-up later would race with its end.
 */
#include "code_file.h"
#include "container.h"
#include "describe.h"
#include "event.h"
#include "origin.h"

/* Set before loading. */
const volatile u32 deduplicate = 1;

struct {
	MAP_TYPE(RING_BUFFER);
	MAP_ENTRIES(4 * 1024 * 1024);
} events SEC(".maps");

struct {
	MAP_TYPE(PER_CPU_ARRAY);
	MAP_ENTRIES(COUNTERS);
	u32 *key;
	u64 *value;
} counters SEC(".maps");

/* Files that were sent, by container. */
struct file_key {
	u64 container;
	u64 inode;
	u64 device;
};

struct {
	MAP_TYPE(LRU_HASH);
	MAP_ENTRIES(65536);
	struct file_key *key;
	u8 *value;
} seen SEC(".maps");

/* Code files that were sent, by container: apart, so that a program with many of them displaces no library. */
struct {
	MAP_TYPE(LRU_HASH);
	MAP_ENTRIES(65536);
	struct file_key *key;
	u8 *value;
} opened SEC(".maps");

/* The first process of each container (in the agent's pid namespace); its exit is the container's. */
struct {
	MAP_TYPE(LRU_HASH);
	MAP_ENTRIES(8192);
	u64 *key;
	u32 *value;
} first_process SEC(".maps");

/* Events lost, by container; read and emptied by the agent. */
struct {
	MAP_TYPE(LRU_HASH);
	MAP_ENTRIES(8192);
	u64 *key;
	u64 *value;
} gaps SEC(".maps");

INLINE void count(u32 which)
{
	/* Atomic though per CPU: on newer kernels a program may be preempted by another task's. */
	u64 *value = map_lookup(&counters, &which);
	if (value)
		__sync_fetch_and_add(value, 1);
}

INLINE void note_loss(u64 container)
{
	u64 one = 1;
	count(LOST_RING_FULL);
	u64 *lost = map_lookup(&gaps, &container);
	if (lost)
		__sync_fetch_and_add(lost, 1);
	else if (map_update(&gaps, &container, &one, UPDATE_ANY))
		count(LOST_UNATTRIBUTED);
}

INLINE struct event *reserve(u32 kind, struct task_struct *task, struct home *home)
{
	struct event *event = ring_reserve(&events, sizeof(*event), 0);
	if (!event) {
		note_loss(home->container);
		return 0;
	}
	struct task_struct *leader = FIELD(task, group_leader);
	struct kernfs_node *node = FIELD(home->group, kn);
	struct cgroup *parent = parent_of(home->group);

	event->kind = kind;
	event->flags = 0;
	event->at = boot_time_ns();
	event->started = FIELD(leader, start_boottime);
	event->container = home->container;
	event->inode = 0;
	event->device = 0;
	event->kernel_pid = current_pid_tgid() >> 32;
	event->path_bytes = 0;
	event->args_bytes = 0;
	current_comm(event->comm, sizeof(event->comm));
	struct pids pids = pids_of(leader);
	event->pid = pids.agents;
	event->inner_pid = pids.inner;
	if (read_kernel_str(event->cgroup, NAME_BYTES, FIELD(node, name)) < 0)
		event->cgroup[0] = 0;
	event->parent[0] = 0;
	if (parent) {
		struct kernfs_node *above = FIELD(parent, kn);
		if (read_kernel_str(event->parent, PARENT_BYTES, FIELD(above, name)) < 0)
			event->parent[0] = 0;
	}
	return event;
}

INLINE struct file_key key_of(struct file *file, u64 container)
{
	struct inode *inode = FIELD(file, f_inode);
	struct super_block *system = FIELD(inode, i_sb);
	struct file_key key = {
		.container = container,
		.inode = FIELD(inode, i_ino),
		.device = FIELD(system, s_dev),
	};
	return key;
}

INLINE void submit(struct event *event, struct file_key *key, void *sent)
{
	u8 yes = 1;
	event->inode = key->inode;
	event->device = key->device;
	ring_submit(event, 0);
	/* Only now: a file whose event found no room must be tried again. */
	map_update(sent, key, &yes, UPDATE_ANY);
	count(COUNT_SUBMITTED);
}

INLINE int known(struct file_key *key, void *sent)
{
	return deduplicate && map_lookup(sent, key);
}

SEC("raw_tracepoint/sched_process_exec")
int on_exec(void *ctx)
{
	struct task_struct *task = (void *)current_task();
	struct home home = home_of(task);
	if (!home.container || outside(task))
		return 0;
	count(COUNT_EXECS);

	struct mm_struct *memory = FIELD(task, mm);
	struct file *program = FIELD(memory, exe_file);
	struct file_key key = key_of(program, home.container);
	int fresh = !map_lookup(&first_process, &home.container);
	if (!fresh && known(&key, &seen)) {
		count(COUNT_REPEATED);
		return 0;
	}
	struct event *event = reserve(EVENT_EXEC, task, &home);
	if (!event)
		return 0;
	write_path(event, task, program);
	write_origin(event, task, program);
	write_arguments(event, task);
	if (fresh) {
		u32 process = event->pid;
		if (map_update(&first_process, &home.container, &process, UPDATE_NEW) == 0)
			event->flags |= FLAG_FIRST;
	}
	submit(event, &key, &seen);
	return 0;
}

INLINE int on_mapping(struct file *file)
{
	struct task_struct *task = (void *)current_task();
	struct home home = home_of(task);
	if (!home.container || outside(task))
		return 0;
	count(COUNT_MAPPINGS);

	struct file_key key = key_of(file, home.container);
	if (known(&key, &seen)) {
		count(COUNT_REPEATED);
		return 0;
	}
	struct event *event = reserve(EVENT_MAP, task, &home);
	if (!event)
		return 0;
	write_path(event, task, file);
	write_origin(event, task, file);
	submit(event, &key, &seen);
	return 0;
}

#define EXECUTABLE 4
#define ANONYMOUS 0x20

SEC("fentry/security_mmap_file")
int on_mmap_fentry(u64 *args)
{
	struct file *file = (void *)args[0];
	return file && (args[1] & EXECUTABLE) ? on_mapping(file) : 0;
}

SEC("lsm/mmap_file")
int on_mmap_lsm(u64 *args)
{
	struct file *file = (void *)args[0];
	if (file && (args[1] & EXECUTABLE))
		on_mapping(file);
	return 0;
}

INLINE struct file *file_of(u32 descriptor)
{
	struct task_struct *task = (void *)current_task();
	struct files_struct *files = FIELD(task, files);
	struct fdtable *table = FIELD(files, fdt);
	if (descriptor >= FIELD(table, max_fds))
		return 0;
	struct file **slots = FIELD(table, fd);
	struct file *file = 0;
	read_kernel(&file, sizeof(file), slots + descriptor);
	return file;
}

/* The layout of a system call's entry tracepoint is the same on every architecture with 64-bit words. */
struct syscall_entry {
	u64 common;
	u64 number;
	u64 args[6];
};

SEC("tracepoint/syscalls/sys_enter_mmap")
int on_mmap_syscall(struct syscall_entry *ctx)
{
	if (!(ctx->args[2] & EXECUTABLE) || ctx->args[3] & ANONYMOUS)
		return 0;
	struct file *file = file_of(ctx->args[4]);
	return file ? on_mapping(file) : 0;
}

/* A mapping that is made executable later is one more executable mapping. */
SEC("fentry/security_file_mprotect")
int on_mprotect_fentry(u64 *args)
{
	struct vm_area_struct *area = (void *)args[0];
	if (!(args[2] & EXECUTABLE))
		return 0;
	struct file *file = FIELD(area, vm_file);
	return file ? on_mapping(file) : 0;
}

SEC("lsm/file_mprotect")
int on_mprotect_lsm(u64 *args)
{
	struct vm_area_struct *area = (void *)args[0];
	if (!(args[2] & EXECUTABLE))
		return 0;
	struct file *file = FIELD(area, vm_file);
	if (file)
		on_mapping(file);
	return 0;
}

struct found_file {
	struct file *file;
};

/* Not inlined: the kernel calls it. */
static __attribute__((noinline)) long take_file(struct task_struct *task, struct vm_area_struct *area,
						struct found_file *found)
{
	found->file = FIELD(area, vm_file);
	return 0;
}

/* Attached to the entries of mprotect and pkey_mprotect, whose first three arguments are the same. */
SEC("tracepoint/syscalls/sys_enter_mprotect")
int on_mprotect_syscall(struct syscall_entry *ctx)
{
	struct found_file found = {};

	if (!(ctx->args[2] & EXECUTABLE))
		return 0;
	/* Finds nothing while another thread changes the process's mappings; a pass over /proc finds it then. */
	find_vma(current_task_btf(), ctx->args[0], take_file, &found, 0);
	return found.file ? on_mapping(found.file) : 0;
}

INLINE int on_opening(struct file *file)
{
	if (!is_code(FIELD(file, f_path.dentry)))
		return 0;
	struct task_struct *task = (void *)current_task();
	struct home home = home_of(task);
	if (!home.container || outside(task))
		return 0;
	count(COUNT_OPENINGS);

	struct file_key key = key_of(file, home.container);
	if (known(&key, &opened)) {
		count(COUNT_REPEATED);
		return 0;
	}
	struct event *event = reserve(EVENT_OPEN, task, &home);
	if (!event)
		return 0;
	write_path(event, task, file);
	submit(event, &key, &opened);
	return 0;
}

SEC("fentry/security_file_open")
int on_open_fentry(u64 *args)
{
	return on_opening((void *)args[0]);
}

SEC("lsm/file_open")
int on_open_lsm(u64 *args)
{
	on_opening((void *)args[0]);
	return 0;
}

/* The same on every architecture, as with entries. */
struct syscall_exit {
	u64 common;
	u64 number;
	s64 result;
};

/* Attached to the ends of all of openat, openat2 and open. */
SEC("tracepoint/syscalls/sys_exit_openat")
int on_open_syscall(struct syscall_exit *ctx)
{
	if (ctx->result < 0)
		return 0;
	struct file *file = file_of(ctx->result);
	return file ? on_opening(file) : 0;
}

/* What is opened by way of a ring passes none of the tracepoints above. */
SEC("tracepoint/syscalls/sys_enter_io_uring_setup")
int on_io_uring(void *ctx)
{
	struct task_struct *task = (void *)current_task();
	struct home home = home_of(task);
	if (!home.container || outside(task))
		return 0;
	count(COUNT_OPENINGS);

	/* No file has this key. */
	struct file_key key = { .container = home.container };
	if (known(&key, &opened)) {
		count(COUNT_REPEATED);
		return 0;
	}
	struct event *event = reserve(EVENT_IO_URING, task, &home);
	if (event)
		submit(event, &key, &opened);
	return 0;
}

SEC("raw_tracepoint/sched_process_exit")
int on_exit(void *ctx)
{
	struct task_struct *task = (void *)current_task();
	struct signal_struct *group = FIELD(task, signal);
	if (FIELD(group, live.counter) != 0)
		return 0;
	struct home home = home_of(task);
	if (!home.container)
		return 0;
	u32 *first = map_lookup(&first_process, &home.container);
	if (!first || *first != pids_of(FIELD(task, group_leader)).agents)
		return 0;
	count(COUNT_EXITS);
	struct event *event = reserve(EVENT_EXIT, task, &home);
	if (!event)
		return 0;
	ring_submit(event, 0);
	count(COUNT_SUBMITTED);
	/* Should the container be started again, its first program is a first one once more. */
	map_delete(&first_process, &home.container);
	return 0;
}

char licence_text[] SEC("license") = "Dual MIT/GPL";
