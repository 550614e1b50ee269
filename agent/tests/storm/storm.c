/* SPDX-License-Identifier: Apache-2.0 */
/*
 * storm COUNT PER_SECOND: starts itself COUNT times as a program that ends at once, evenly spaced (0: as fast as it
 * goes), and prints how many starts succeeded and how many microseconds that took. Link statically, so that nothing
 * else is mapped.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long long now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

int main(int argc, char **argv)
{
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
	printf("%ld %lld\n", done, (now_ns() - begin) / 1000);
	return 0;
}
