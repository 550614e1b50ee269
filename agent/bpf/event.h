/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * What the kernel side tells the agent. The reader is src/bpf/record.rs, which checks the sizes.
 */
#pragma once
#include "kernel.h"

enum event_kind { EVENT_EXEC = 1, EVENT_MAP = 2, EVENT_EXIT = 3, EVENT_OPEN = 4, EVENT_IO_URING = 5 };

enum event_flag {
	/* The first program this container was seen to run. */
	FLAG_FIRST = 1,
	/* The path has more components or bytes than fit. */
	FLAG_PATH_CUT = 2,
	/* The file is not reachable in the process's mount namespace (memfd, a descriptor from outside). */
	FLAG_OUTSIDE = 4,
	/* There are more argument bytes than fit. */
	FLAG_ARGS_CUT = 8,
	/* The file lies in the upper layer of an overlay: written since the container was made. */
	FLAG_UPPER = 16,
	/* The file is memory that has a name (memfd). */
	FLAG_MEMORY = 32,
	/* The file has no name any more. */
	FLAG_DELETED = 64,
	/* The file lies in another filesystem than the container's root: a volume. */
	FLAG_VOLUME = 128,
};

#define NAME_BYTES 160
#define PARENT_BYTES 96
#define PATH_BYTES 768
#define ARGS_BYTES 256
#define COMPONENT_BYTES 256

struct event {
	u32 kind;
	u32 flags;
	u64 at;         /* nanoseconds since boot */
	u64 started;    /* of the process, nanoseconds since boot */
	u64 container;  /* the first 16 hex digits of the container's id */
	u64 inode;
	u32 device;
	u32 pid;        /* thread group, in the agent's pid namespace; 0 when it has none there */
	u32 kernel_pid; /* thread group, in the initial pid namespace */
	u32 inner_pid;  /* thread group, in the process's own pid namespace */
	u32 path_bytes;
	u32 args_bytes;
	char comm[16];
	char cgroup[NAME_BYTES];
	char parent[PARENT_BYTES];
	/* Path components from the leaf to the root, each ended by a zero byte; then the arguments. */
	char text[PATH_BYTES + COMPONENT_BYTES];
};

/* Why an event was lost or not sent; the order is that of src/bpf/counters.rs. */
enum counter {
	COUNT_EXECS,        /* programs started in containers */
	COUNT_MAPPINGS,     /* executable mappings of files in containers, also made so later */
	COUNT_EXITS,        /* ends of first processes */
	COUNT_OPENINGS,     /* openings of code files in containers, and of rings of io_uring */
	COUNT_REPEATED,     /* of programs, mappings and openings: known already, not sent */
	COUNT_SUBMITTED,    /* sent, of any kind */
	LOST_RING_FULL,     /* no room in the ring */
	LOST_UNATTRIBUTED,  /* of those: no room to note whose it was */
	COUNTERS,
};
