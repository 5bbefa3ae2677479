/* Runs in a container beside a RUN --mount=type=ssh: listens on a socket and passes what comes to Lineal and back.

   Usage: forwarder PATH MODE UID GID

   Standard output and input carry messages of the SSH agent protocol, each as: connection (1 byte), length (4 bytes,
   big-endian), content. A length of 0 closes the connection. Connection 255 with length 0 says that the socket is there.
   Ends with standard input. `scripts/forwarder` builds the two programs that are kept beside this file. */

#define _GNU_SOURCE
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define CLIENTS 64
#define LARGEST (256 * 1024)

/* Which source this was built from: Lineal's tests compare. */
static const char source[] = "forwarder.c " SOURCE "\n";

struct client {
    int fd;
    int closed;
    unsigned have;
    unsigned char data[4 + LARGEST];
};
static struct client clients[CLIENTS];
static unsigned char reply[4 + LARGEST];

static unsigned number(const unsigned char *p) {
    return (unsigned)p[0] << 24 | (unsigned)p[1] << 16 | (unsigned)p[2] << 8 | p[3];
}

static void put(int fd, const unsigned char *data, size_t size) {
    while (size) {
        ssize_t done = write(fd, data, size);
        if (done <= 0) {
            if (fd == 1) _exit(1);
            return; /* a client that went away: the next read says so */
        }
        data += done;
        size -= (size_t)done;
    }
}

static void get(unsigned char *data, size_t size) {
    while (size) {
        ssize_t done = read(0, data, size);
        if (done <= 0) _exit(0);
        data += done;
        size -= (size_t)done;
    }
}

static void say(int connection, const unsigned char *message, unsigned size) {
    unsigned char head[5] = {(unsigned char)connection, (unsigned char)(size >> 24), (unsigned char)(size >> 16),
                             (unsigned char)(size >> 8), (unsigned char)size};
    put(1, head, 5);
    put(1, message, size);
}

/* The number stays taken until Lineal has said that it has closed its side too. */
static void hang_up(int connection) {
    struct client *one = &clients[connection];
    close(one->fd);
    one->closed = 1;
    say(connection, 0, 0);
}

static void answer(void) {
    unsigned char head[5];
    get(head, 5);
    unsigned size = number(head + 1);
    if (head[0] >= CLIENTS || size > LARGEST) _exit(1);
    struct client *one = &clients[head[0]];
    memcpy(reply, head + 1, 4);
    get(reply + 4, size);
    if (size) {
        if (one->fd >= 0 && !one->closed) put(one->fd, reply, 4 + size);
    } else if (one->fd >= 0) {
        if (!one->closed) hang_up(head[0]);
        else one->fd = -1;
    }
}

static void ask(int connection) {
    struct client *one = &clients[connection];
    unsigned wanted = one->have < 4 ? 4 : 4 + number(one->data);
    ssize_t done = read(one->fd, one->data + one->have, wanted - one->have);
    if (done <= 0) {
        hang_up(connection);
        return;
    }
    one->have += (unsigned)done;
    if (one->have < 4) return;
    unsigned size = number(one->data);
    if (size == 0 || size > LARGEST) {
        hang_up(connection);
    } else if (one->have == 4 + size) {
        say(connection, one->data + 4, size);
        one->have = 0;
    }
}

static int listening(const char *path, int mode, int uid, int gid) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) _exit(2);
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    umask(0177);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address)) _exit(2);
    if (chmod(path, (mode_t)mode) || chown(path, (uid_t)uid, (gid_t)gid) || listen(fd, 16)) _exit(2);
    return fd;
}

static void welcome(int door) {
    int fd = accept4(door, 0, 0, SOCK_CLOEXEC);
    for (int i = 0; fd >= 0 && i < CLIENTS; i++)
        if (clients[i].fd < 0) {
            clients[i].fd = fd;
            clients[i].closed = 0;
            clients[i].have = 0;
            return;
        }
    if (fd >= 0) close(fd);
}

int main(int argc, char **argv) {
    if (argc != 5) {
        put(2, (const unsigned char *)source, sizeof source - 1);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    int door = listening(argv[1], (int)strtol(argv[2], 0, 8), atoi(argv[3]), atoi(argv[4]));
    for (int i = 0; i < CLIENTS; i++) clients[i].fd = -1;
    say(255, 0, 0);
    for (;;) {
        struct pollfd polled[2 + CLIENTS] = {{.fd = 0, .events = POLLIN}, {.fd = door, .events = POLLIN}};
        for (int i = 0; i < CLIENTS; i++) {
            polled[2 + i].fd = clients[i].closed ? -1 : clients[i].fd;
            polled[2 + i].events = POLLIN;
        }
        if (poll(polled, 2 + CLIENTS, -1) < 0) return 1;
        for (int i = 0; i < CLIENTS; i++)
            if (polled[2 + i].revents) ask(i);
        if (polled[0].revents) answer();
        if (polled[1].revents) welcome(door);
    }
}
