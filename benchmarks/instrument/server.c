/* Ground truth: a server of OpenAI chat streams that knows when it did what.

   One thread, epoll, HTTP/1.1 keep-alive with chunked bodies. CLOCK_MONOTONIC in ns, taken after a request was read whole and before each
   send, is kept in memory. Commands, one per line of standard input: "dump FILE" writes the log, empties it and answers "dumped" on
   standard output. The end of standard input, SIGTERM and SIGINT end it. The first line on standard output is the port.

   Script: key=value pairs, as arguments or, for one request, in the header X-Instrument (commas between them):
     ttft_us itl_us     from request to first content, and from content chunk to content chunk
     tokens             content tokens of an answer; 0: what max_tokens or max_completion_tokens asks for
     per_chunk          tokens in one content chunk
     role               1: a chunk with the role alone goes out with the head
     usage              0: never, 1: at the end, 2: with every chunk
     stall_at stall_us  a longer gap before content chunk number stall_at (from 0)
     error_at           an error object, then [DONE], in place of content chunk number error_at
     done               0: no [DONE]
     nodelay            0: Nagle's algorithm stays on, as in servers that forget TCP_NODELAY (arguments only)
     spin               1: never sleep (arguments only) */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_FD = 8192, PIECE = 1024 };
enum kind { ROLE = 1, CONTENT = 2, LAST = 3, FAULT = 4 };

/* The layout is read by truth.py. */
struct request { char id[40]; int64_t received_ns; };
struct sent { int64_t ns; int32_t late_ns; uint32_t request; uint16_t kind; uint16_t tokens; uint32_t pad; };
struct script { long ttft_us, itl_us, tokens, per_chunk, role, usage, stall_at, stall_us, error_at, done, nodelay, spin; };

static const struct { const char *name; size_t offset; } KEYS[] = {
#define KEY(name) { #name, offsetof(struct script, name) }
    KEY(ttft_us), KEY(itl_us), KEY(tokens), KEY(per_chunk), KEY(role), KEY(usage),
    KEY(stall_at), KEY(stall_us), KEY(error_at), KEY(done), KEY(nodelay), KEY(spin)
};

struct connection {
    char *in; size_t length, capacity;
    struct script script;
    int64_t due_ns;
    long position, chunks, tokens, sent_tokens;
    uint32_t request;
    int busy, heap_at;
};

static struct script defaults = { 50000, 10000, 100, 1, 1, 1, -1, 0, -1, 1, 1, 0 };
static struct connection *connections[MAX_FD];
static int heap[MAX_FD], heap_size;
static struct request *requests; static size_t request_count, request_capacity;
static struct sent *sends; static size_t send_count, send_capacity;
static volatile sig_atomic_t stop;
static int poller, listener;

static void fail(const char *what) { perror(what); exit(1); }
static void on_signal(int number) { (void)number; stop = 1; }

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void *grown(void *array, size_t *capacity, size_t count, size_t size) {
    if (count < *capacity) return array;
    *capacity = *capacity ? *capacity * 2 : 1 << 20;
    if (!(array = realloc(array, *capacity * size))) fail("realloc");
    memset((char *)array + count * size, 0, (*capacity - count) * size);  /* page faults now, not between two sends */
    return array;
}

/* A heap of connections by due_ns. */

static void place(int at, int fd) { heap[at] = fd; connections[fd]->heap_at = at; }

static void sift(int at) {
    int fd = heap[at];
    int64_t due = connections[fd]->due_ns;
    for (; at && due < connections[heap[(at - 1) / 2]]->due_ns; at = (at - 1) / 2) place(at, heap[(at - 1) / 2]);
    for (int child; (child = 2 * at + 1) < heap_size; at = child) {
        if (child + 1 < heap_size && connections[heap[child + 1]]->due_ns < connections[heap[child]]->due_ns) child++;
        if (due <= connections[heap[child]]->due_ns) break;
        place(at, heap[child]);
    }
    place(at, fd);
}

static void schedule(int fd) {
    if (connections[fd]->heap_at < 0) { place(heap_size, fd); heap_size++; }
    sift(connections[fd]->heap_at);
}

static void unschedule(int fd) {
    int at = connections[fd]->heap_at;
    if (at < 0) return;
    connections[fd]->heap_at = -1;
    int last = heap[--heap_size];
    if (last != fd) { place(at, last); sift(at); }
}

static void drop(int fd) {
    unschedule(fd);
    free(connections[fd]->in);
    free(connections[fd]);
    connections[fd] = NULL;
    close(fd);
}

/* Scripts. */

static void set_key(struct script *script, const char *text, size_t length) {
    for (size_t i = 0; i < sizeof KEYS / sizeof *KEYS; i++) {
        size_t name = strlen(KEYS[i].name);
        if (length > name && !memcmp(text, KEYS[i].name, name) && text[name] == '=') {
            *(long *)((char *)script + KEYS[i].offset) = strtol(text + name + 1, NULL, 10);
            return;
        }
    }
    fprintf(stderr, "no such key: %.*s\n", (int)length, text);
    exit(2);
}

static const char *header(const char *head, const char *name, size_t *length) {
    size_t wanted = strlen(name);
    for (const char *line = strstr(head, "\r\n"); line && line[2] != '\r'; line = strstr(line + 2, "\r\n"))
        if (!strncasecmp(line + 2, name, wanted) && line[2 + wanted] == ':') {
            const char *value = line + 3 + wanted;
            while (*value == ' ') value++;
            *length = strstr(value, "\r\n") - value;
            return value;
        }
    return NULL;
}

static long number_after(const char *text, const char *key) {
    const char *found = strstr(text, key);
    if (!found) return 0;
    for (found += strlen(key); *found == ' ' || *found == ':'; found++) {}
    return strtol(found, NULL, 10);
}

/* Answers. */

static int transmit(int fd, const char *data, size_t length, enum kind kind, long tokens, int64_t due_ns) {
    struct connection *c = connections[fd];
    sends = grown(sends, &send_capacity, send_count, sizeof *sends);
    struct sent *log = &sends[send_count++];
    int64_t now = now_ns();
    *log = (struct sent){ now, (int32_t)(now - due_ns < INT32_MAX ? now - due_ns : INT32_MAX), c->request, kind, (uint16_t)tokens, 0 };
    ssize_t sent = send(fd, data, length, MSG_NOSIGNAL);
    if (sent == (ssize_t)length) return 1;
    fprintf(stderr, "a client does not read: %zd of %zu bytes taken\n", sent, length);
    drop(fd);
    return 0;
}

static char *framed(char *out, const char *format, ...) {
    char body[PIECE];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(body, sizeof body, format, arguments);
    va_end(arguments);
    return out + sprintf(out, "%x\r\n%s\r\n", length, body);
}

static const char *usage_of(const struct connection *c, char *out) {
    sprintf(out, "{\"prompt_tokens\":8,\"completion_tokens\":%ld,\"total_tokens\":%ld}", c->sent_tokens, 8 + c->sent_tokens);
    return out;
}

static char *chunk(char *out, const struct connection *c, const char *delta, const char *finish) {
    char usage[128], part[160] = "";
    if (c->script.usage == 2) sprintf(part, ",\"usage\":%s", usage_of(c, usage));
    return framed(out, "data: {\"id\":\"chatcmpl-%.36s\",\"object\":\"chat.completion.chunk\",\"created\":1760000000,\"model\":\"instrument\","
                  "\"choices\":[{\"index\":0,\"delta\":%s,\"logprobs\":null,\"finish_reason\":%s}]%s}\n\n",
                  requests[c->request].id, delta, finish, part);
}

static int start(int fd) {
    struct connection *c = connections[fd];
    char out[2 * PIECE], *end = out;
    end += sprintf(end, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\n"
                   "Transfer-Encoding: chunked\r\n\r\n");
    if (c->script.role) end = chunk(end, c, "{\"role\":\"assistant\",\"content\":\"\"}", "null");
    c->busy = 1;
    c->position = c->sent_tokens = 0;
    c->chunks = (c->tokens + c->script.per_chunk - 1) / c->script.per_chunk;
    int64_t received = requests[c->request].received_ns;
    if (!transmit(fd, out, end - out, ROLE, 0, received)) return 0;
    c->due_ns = received + c->script.ttft_us * 1000 + (c->script.stall_at == 0 ? c->script.stall_us * 1000 : 0);
    schedule(fd);
    return 1;
}

static int finish(int fd, char *out, char *end, enum kind kind, long tokens) {
    struct connection *c = connections[fd];
    char usage[128];
    if (kind == LAST) {
        end = chunk(end, c, "{}", "\"length\"");
        if (c->script.usage == 1)
            end = framed(end, "data: {\"id\":\"chatcmpl-%.36s\",\"object\":\"chat.completion.chunk\",\"created\":1760000000,"
                         "\"model\":\"instrument\",\"choices\":[],\"usage\":%s}\n\n", requests[c->request].id, usage_of(c, usage));
    }
    if (c->script.done) end = framed(end, "data: [DONE]\n\n");
    end += sprintf(end, "0\r\n\r\n");
    c->busy = 0;
    unschedule(fd);
    return transmit(fd, out, end - out, kind, tokens, c->due_ns);
}

/* What is due now: one content chunk, or the end after the last of them. */
static void advance(int fd) {
    struct connection *c = connections[fd];
    char out[6 * PIECE], delta[PIECE / 2], *end = out;
    if (c->position == c->script.error_at) {
        finish(fd, out, framed(out, "data: {\"error\":{\"message\":\"the worker is gone\",\"code\":503}}\n\n"), FAULT, 0);
        return;
    }
    if (c->position >= c->chunks) {
        finish(fd, out, out, LAST, 0);
        return;
    }
    long tokens = c->tokens - c->sent_tokens < c->script.per_chunk ? c->tokens - c->sent_tokens : c->script.per_chunk;
    int length = sprintf(delta, "{\"content\":\"");
    for (long i = 0; i < tokens && length < (int)sizeof delta - 32; i++) length += sprintf(delta + length, " word");
    sprintf(delta + length, "\"}");
    c->sent_tokens += tokens;
    end = chunk(end, c, delta, "null");
    if (!transmit(fd, out, end - out, CONTENT, tokens, c->due_ns)) return;
    c->position++;
    /* The end follows the last chunk by a tenth of a gap, in its own segment. */
    c->due_ns += c->position < c->chunks ? c->script.itl_us * 1000 : c->script.itl_us * 100;
    if (c->position == c->script.stall_at) c->due_ns += c->script.stall_us * 1000;
    sift(c->heap_at);
}

/* Requests. */

static int whole(int fd, const char *status, const char *body) {
    char out[PIECE];
    int length = sprintf(out, "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s", status, strlen(body), body);
    if (send(fd, out, length, MSG_NOSIGNAL) == length) return 1;
    drop(fd);
    return 0;
}

static int answer(int fd, char *head, char *body, int64_t received_ns) {
    struct connection *c = connections[fd];
    size_t length;
    if (!strncmp(head, "GET /v1/models ", 15)) return whole(fd, "200 OK", "{\"object\":\"list\",\"data\":[{\"id\":\"instrument\",\"object\":\"model\"}]}");
    if (!strncmp(head, "GET /health ", 12)) return whole(fd, "200 OK", "{\"status\":\"healthy\"}");
    if (strncmp(head, "POST /v1/chat/completions ", 26)) return whole(fd, "404 Not Found", "{\"error\":\"not found\"}");
    requests = grown(requests, &request_capacity, request_count, sizeof *requests);
    c->request = (uint32_t)request_count++;
    struct request *request = &requests[c->request];
    memset(request, 0, sizeof *request);
    request->received_ns = received_ns;
    const char *value = header(head, "X-Request-ID", &length);
    if (value) memcpy(request->id, value, length < sizeof request->id ? length : sizeof request->id - 1);
    c->script = defaults;
    if ((value = header(head, "X-Instrument", &length)))
        for (const char *end = value + length, *comma; value < end; value = comma + 1) {
            if (!(comma = memchr(value, ',', end - value))) comma = end;
            set_key(&c->script, value, comma - value);
        }
    c->tokens = c->script.tokens;
    if (!c->tokens && !(c->tokens = number_after(body, "\"max_tokens\""))) c->tokens = number_after(body, "\"max_completion_tokens\"");
    return start(fd);
}

static void readable(int fd) {
    struct connection *c = connections[fd];
    if (c->capacity - c->length < 65536 && !(c->in = realloc(c->in, c->capacity = 2 * c->capacity + 131072))) fail("realloc");
    ssize_t got = recv(fd, c->in + c->length, c->capacity - c->length - 1, 0);
    if (got <= 0) {
        if (got == 0 || (errno != EAGAIN && errno != EINTR)) drop(fd);
        return;
    }
    c->length += got;
    c->in[c->length] = 0;
    char *blank = strstr(c->in, "\r\n\r\n"), *body = blank ? blank + 4 : NULL;
    if (!blank) return;
    size_t length, wanted = 0;
    const char *value = header(c->in, "Content-Length", &length);
    if (value) wanted = strtoul(value, NULL, 10);
    if (c->length < (size_t)(body - c->in) + wanted) return;
    int64_t received_ns = now_ns();
    c->length = 0;  /* nobody pipelines here */
    if (c->busy) { drop(fd); return; }
    answer(fd, c->in, body, received_ns);
}

static void accept_all(void) {
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
        if (fd >= MAX_FD) { close(fd); continue; }
        int on = defaults.nodelay != 0;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (!(connections[fd] = calloc(1, sizeof **connections))) fail("calloc");
        connections[fd]->heap_at = -1;
        struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };
        epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
    }
}

/* The log. */

static void dump(const char *path) {
    FILE *file = fopen(path, "wb");
    if (!file) fail(path);
    int64_t sizes[2] = { (int64_t)request_count, (int64_t)send_count };
    fwrite(sizes, sizeof sizes, 1, file);
    fwrite(requests, sizeof *requests, request_count, file);
    fwrite(sends, sizeof *sends, send_count, file);
    if (fclose(file)) fail(path);
    /* What is still being answered keeps its place. */
    for (int fd = 0; fd < MAX_FD; fd++) if (connections[fd] && connections[fd]->busy) drop(fd);
    request_count = send_count = 0;
}

static void command(void) {
    static char line[4096]; static size_t length;
    ssize_t got = read(0, line + length, sizeof line - length - 1);
    if (got <= 0) { stop = 1; return; }
    length += got;
    line[length] = 0;
    for (char *end; (end = strchr(line, '\n'));) {
        *end = 0;
        if (strncmp(line, "dump ", 5)) { fprintf(stderr, "no such command: %s\n", line); exit(2); }
        dump(line + 5);
        puts("dumped");
        fflush(stdout);
        length -= end + 1 - line;
        memmove(line, end + 1, length + 1);
    }
}

static int wait_for(struct epoll_event *events, int count) {
    struct timespec left = { 3600, 0 };
    if (heap_size) {
        int64_t ns = connections[heap[0]]->due_ns - now_ns();
        if (ns < 0 || defaults.spin) ns = 0;
        left = (struct timespec){ ns / 1000000000, ns % 1000000000 };
    } else if (defaults.spin) left.tv_sec = 0;
    return epoll_pwait2(poller, events, count, &left, NULL);
}

static void watch(int fd) {
    struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };
    if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event)) fail("epoll_ctl");
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) set_key(&defaults, argv[i], strlen(argv[i]));
    prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
    struct sigaction action = { .sa_handler = on_signal };
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof address;
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (bind(listener, (struct sockaddr *)&address, size) || listen(listener, 4096)) fail("listen");
    getsockname(listener, (struct sockaddr *)&address, &size);
    poller = epoll_create1(EPOLL_CLOEXEC);
    watch(listener);
    watch(0);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    requests = grown(requests, &request_capacity, 0, sizeof *requests);
    sends = grown(sends, &send_capacity, 0, sizeof *sends);
    struct epoll_event events[64];
    while (!stop) {
        int count = wait_for(events, 64);
        if (count < 0 && errno != EINTR) fail("epoll_pwait2");
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) accept_all();
            else if (fd == 0) command();
            else if (connections[fd]) readable(fd);
        }
        /* Requests are looked for after at most 16 sends: a late look would be counted as the client's error. */
        for (int n = 0; n < 16 && heap_size && connections[heap[0]]->due_ns <= now_ns(); n++) advance(heap[0]);
    }
    return 0;
}
