/* Lists the directories and symbolic links of a tree, and its account files, for Lineal's index of an image.

   Usage: lister ROOT FILE
   Runs in a container of the daemon, where the tree is mounted. Nothing in the tree is followed or executed.
   A record: its kind (d, l, a) in one byte; mode, uid, gid, length of the path, length of the data, each as 32 bits,
   lowest byte first; the path without a leading slash; the data: a link's target, an account file's content.
   `scripts/forwarder` builds the two programs that are kept beside this file. */

#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char source[] = "lister.c " SOURCE "\n";

#define MAX_ACCOUNTS (4 << 20)

static FILE *out;
static char *path;
static size_t room;

static void fail(const char *what) {
    fprintf(stderr, "lister: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void number(uint32_t value) {
    unsigned char bytes[4] = {value, value >> 8, value >> 16, value >> 24};
    fwrite(bytes, 1, 4, out);
}

static void record(char kind, const struct stat *found, size_t length, const char *data, size_t size) {
    fputc(kind, out);
    number(found->st_mode & 07777);
    number(found->st_uid);
    number(found->st_gid);
    number(length);
    number(size);
    fwrite(path, 1, length, out);
    fwrite(data, 1, size, out);
}

static void account(int directory, const char *name, const struct stat *found, size_t length) {
    if (found->st_size > MAX_ACCOUNTS) {
        record('a', found, length, "", 0);
        return;
    }
    int file = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (file < 0) fail(path);
    char *data = malloc(found->st_size + 1);
    if (!data) fail("memory");
    size_t size = 0;
    ssize_t got;
    while (size < (size_t)found->st_size && (got = read(file, data + size, found->st_size - size)) > 0) size += got;
    close(file);
    record('a', found, length, data, size);
    free(data);
}

static void link_at(int directory, const char *name, const struct stat *found, size_t length) {
    char target[PATH_MAX + 1];
    ssize_t size = readlinkat(directory, name, target, sizeof target);
    if (size < 0) fail(path);
    record('l', found, length, target, size);
}

static void walk(int directory, size_t length) {
    DIR *entries = fdopendir(directory);
    if (!entries) fail(path);
    struct dirent *entry;
    while (errno = 0, (entry = readdir(entries))) {
        const char *name = entry->d_name;
        if (!strcmp(name, ".") || !strcmp(name, "..")) continue;
        if (entry->d_type == DT_REG && strcmp(name, "passwd") && strcmp(name, "group")) continue;
        struct stat found;
        if (fstatat(directory, name, &found, AT_SYMLINK_NOFOLLOW)) fail(name);
        size_t size = strlen(name), whole = length + (length > 0) + size;
        if (whole + 1 > room && !(path = realloc(path, room = 2 * whole + 1))) fail("memory");
        if (length) path[length] = '/';
        memcpy(path + length + (length > 0), name, size + 1);
        if (S_ISLNK(found.st_mode)) {
            link_at(directory, name, &found, whole);
        } else if (S_ISDIR(found.st_mode)) {
            record('d', &found, whole, "", 0);
            int below = openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            if (below < 0) fail(path);
            walk(below, whole);
        } else if (S_ISREG(found.st_mode) && (!strcmp(path, "etc/passwd") || !strcmp(path, "etc/group"))) {
            account(directory, name, &found, whole);
        }
    }
    if (errno) fail(path);
    closedir(entries);
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fputs(source, stderr);
        return 2;
    }
    path = calloc(1, room = PATH_MAX);
    int root = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct stat found;
    if (root < 0 || fstat(root, &found)) fail(argv[1]);
    if (!(out = fopen(argv[2], "we"))) fail(argv[2]);
    record('d', &found, 0, "", 0);
    walk(root, 0);
    fputc('.', out);
    if (fflush(out) || ferror(out) || fclose(out)) fail(argv[2]);
    return 0;
}
