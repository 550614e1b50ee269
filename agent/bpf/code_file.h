/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * Files that an interpreter or a virtual machine opens to run what is in them, told by the end of their names.
 * src/opened.rs knows what each of them belongs to.
 */
#pragma once
#include "kernel.h"

/* The last bytes of a name as a number, on the little-endian machines that there are. */
#define ENDS3(a, b, c) ((u64)(a) | (u64)(b) << 8 | (u64)(c) << 16)
#define ENDS4(a, b, c, d) ((u64)(a) | (u64)(b) << 8 | (u64)(c) << 16 | (u64)(d) << 24)

INLINE int is_code(struct dentry *dentry)
{
	u32 length = FIELD(dentry, d_name.len);
	const u8 *name = FIELD(dentry, d_name.name);
	u64 tail = 0;

	/* What stands before a shorter name is part of the same allocation, and is shifted away below. */
	if (length < 4 || read_kernel(&tail, sizeof(tail), name + length - sizeof(tail)) < 0)
		return 0;
	switch (tail >> 40) {
	case ENDS3('.', 'p', 'y'):
	case ENDS3('.', 'j', 's'):
	case ENDS3('.', 'r', 'b'):
		return 1;
	}
	switch (tail >> 32) {
	case ENDS4('.', 'p', 'y', 'c'):
	case ENDS4('.', 'm', 'j', 's'):
	case ENDS4('.', 'c', 'j', 's'):
	case ENDS4('.', 'j', 'a', 'r'):
	case ENDS4('.', 'w', 'a', 'r'):
	case ENDS4('.', 'e', 'a', 'r'):
	case ENDS4('.', 'p', 'h', 'p'):
	case ENDS4('.', 'd', 'l', 'l'):
		return 1;
	}
	return 0;
}
