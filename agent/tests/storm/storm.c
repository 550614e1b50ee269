/* SPDX-License-Identifier: Apache-2.0 */
/*
 * storm COUNT PER_SECOND: starts itself COUNT times as a program that ends at once, evenly spaced (0: as fast as it
 * goes). storm mmap COUNT FILES FOLDER: maps that many files of the folder in turn, executable. storm syscall COUNT:
 * asks the kernel for the least. Prints how often that succeeded and how many microseconds it took. Link statically, so
 * that nothing else is mapped.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long long now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int map_file(const char *folder, long number)
{
	char path[4096];
	snprintf(path, sizeof(path), "%s/lib%ld.so", folder, number);
	int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (file < 0)
		return 0;
	/* What is empty cannot be mapped; one that is there stays as it is. */
	int fits = lseek(file, 0, SEEK_END) > 0 || ftruncate(file, 4096) == 0;
	void *at = fits ? mmap(0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, file, 0) : MAP_FAILED;
	close(file);
	return at != MAP_FAILED && munmap(at, 4096) == 0;
}

static void print(long done, long long begin)
{
	printf("%ld %lld\n", done, (now_ns() - begin) / 1000);
}

int main(int argc, char **argv)
{
	if (argc == 5 && !strcmp(argv[1], "mmap")) {
		long count = atol(argv[2]), files = atol(argv[3]), done = 0;
		for (long i = 0; i < files; i++)
			if (!map_file(argv[4], i))
				return 1;
		long long begin = now_ns();
		for (long i = 0; i < count; i++)
			done += map_file(argv[4], i % files);
		print(done, begin);
		return 0;
	}
	if (argc == 3 && !strcmp(argv[1], "syscall")) {
		long count = atol(argv[2]), done = 0;
		long long begin = now_ns();
		for (long i = 0; i < count; i++)
			done += syscall(SYS_getppid) >= 0;
		print(done, begin);
		return 0;
	}
	if (argc != 3)
		return 0;
	long count = atol(argv[1]), rate = atol(argv[2]), done = 0;
	char *leaf[] = { argv[0], 0 };
	long long begin = now_ns();

	for (long i = 0; i < count; i++) {
		if (rate) {
			long long at = begin + i * 1000000000LL / rate;
			struct timespec until = { at / 1000000000LL, at % 1000000000LL };
			clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, 0);
		}
		pid_t pid = vfork();
		if (pid == 0) {
			execv(argv[0], leaf);
			_exit(127);
		}
		int status;
		if (pid > 0 && waitpid(pid, &status, 0) == pid && status == 0)
			done++;
	}
	print(done, begin);
	return 0;
}
