/* driver/lsp_wire.c: messages of the language server: a header with Content-Length, a blank line, JSON. */
#include "driver/lsp.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- reading ---- */

enum { READ_AT_ONCE = 1 << 16 };

static void make_room(struct lsp_wire *wire) {
    if (wire->begin > 0 && wire->begin == wire->end)
        wire->begin = wire->end = 0;
    if (wire->capacity - wire->end >= READ_AT_ONCE)
        return;
    if (wire->begin > 0) {
        memmove(wire->bytes, wire->bytes + wire->begin, wire->end - wire->begin);
        wire->end -= wire->begin;
        wire->begin = 0;
    }
    if (wire->capacity - wire->end >= READ_AT_ONCE)
        return;
    size_t larger = 2 * wire->capacity + READ_AT_ONCE;
    wire->bytes = arena_grow(wire->arena, wire->bytes, wire->capacity, larger);
    wire->capacity = larger;
}

/* Reads what is there; waits for some as long as it is told. false: nothing came. */
static bool read_some(struct lsp_wire *wire, int wait_ms) {
    struct pollfd poll_in = {.fd = wire->in, .events = POLLIN};
    if (wire->is_closed || poll(&poll_in, 1, wait_ms) <= 0)
        return false;
    make_room(wire);
    ssize_t n = read(wire->in, wire->bytes + wire->end, wire->capacity - wire->end);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return true;
    if (n <= 0) {
        wire->is_closed = true;
        return false;
    }
    wire->end += (size_t)n;
    return true;
}

/* The header that ends before `body`: its Content-Length, or -1. */
static long long content_length(const char *header, const char *body) {
    static const char name[] = "content-length:";
    while (header < body) {
        const char *end = memchr(header, '\n', (size_t)(body - header));
        if (!end)
            break;
        if ((size_t)(end - header) >= sizeof name - 1 && strncasecmp(header, name, sizeof name - 1) == 0) {
            char *rest;
            long long length = strtoll(header + sizeof name - 1, &rest, 10);
            return rest > header + sizeof name - 1 ? length : -1;
        }
        header = end + 1;
    }
    return -1;
}

/* Behind the blank line that ends a header; NULL: it has not come yet. */
static char *end_of_header(const struct lsp_wire *wire) {
    for (size_t i = wire->begin; i + 1 < wire->end; i++) {
        const char *at = wire->bytes + i;
        if (at[0] == '\n' && at[1] == '\n')
            return wire->bytes + i + 2;
        if (at[0] == '\n' && at[1] == '\r' && i + 2 < wire->end && at[2] == '\n')
            return wire->bytes + i + 3;
    }
    return NULL;
}

/* Moves one whole message from the bytes to the queue. false: it has not come yet. A header that says nothing
 * is passed over; after a length that cannot be, nothing more can be understood. */
static bool understand_one(struct lsp_wire *wire) {
    char *body = wire->begin < wire->end ? end_of_header(wire) : NULL;
    if (!body) {
        if (wire->end - wire->begin > READ_AT_ONCE) /* no header is that long */
            wire->is_closed = true;
        return false;
    }
    long long length = content_length(wire->bytes + wire->begin, body);
    size_t begin = (size_t)(body - wire->bytes);
    if (length < 0) {
        wire->begin = begin;
        VEC_PUSH(wire->arena, &wire->queue, ((struct lsp_message){NULL, false}));
        return true;
    }
    if (length > LSP_MESSAGE_MOST) {
        fprintf(stderr, "weft lsp: a message of %lld bytes is refused\n", length);
        wire->is_closed = true;
        return false;
    }
    if (wire->end - begin < (size_t)length)
        return false;
    json_t *json = json_loadb(body, (size_t)length, JSON_REJECT_DUPLICATES, NULL);
    wire->begin = begin + (size_t)length;
    VEC_PUSH(wire->arena, &wire->queue, ((struct lsp_message){json, false}));
    return true;
}

/* $/cancelRequest concerns requests that wait in the queue; it has no answer of its own. */
static void cancel(struct lsp_wire *wire, const json_t *cancellation) {
    const json_t *id = json_object_get(json_object_get(cancellation, "params"), "id");
    for (int i = wire->next; i < wire->queue.count; i++) {
        const json_t *other = json_object_get(wire->queue.at[i].json, "id");
        if (id && other && json_equal(id, other))
            wire->queue.at[i].is_cancelled = true;
    }
}

static bool is_cancellation(const json_t *json) {
    const char *method = json_string_value(json_object_get(json, "method"));
    return method && strcmp(method, "$/cancelRequest") == 0;
}

static void understand_all(struct lsp_wire *wire) {
    while (understand_one(wire)) {
        struct lsp_message *last = &VEC_LAST(&wire->queue);
        if (!is_cancellation(last->json))
            continue;
        cancel(wire, last->json);
        json_decref(last->json);
        wire->queue.count--;
    }
}

bool lsp_take(struct lsp_wire *wire, int wait_ms, struct lsp_message *out) {
    if (wire->next == wire->queue.count)
        wire->next = wire->queue.count = 0;
    while (read_some(wire, 0))
        ;
    understand_all(wire);
    while (wire->next == wire->queue.count && read_some(wire, wait_ms))
        understand_all(wire);
    if (wire->next == wire->queue.count)
        return false;
    *out = wire->queue.at[wire->next++];
    return true;
}

/* ---- writing ---- */

void lsp_send(json_t *message) {
    json_object_set_new(message, "jsonrpc", json_string("2.0"));
    char *text = json_dumps(message, JSON_COMPACT);
    if (text) {
        printf("Content-Length: %zu\r\n\r\n%s", strlen(text), text);
        fflush(stdout);
    }
    free(text);
    json_decref(message);
}

static json_t *id_or_null(const json_t *id) {
    return id ? json_deep_copy(id) : json_null();
}

void lsp_send_result(const json_t *id, json_t *result) {
    lsp_send(json_pack("{s:o, s:o}", "id", id_or_null(id), "result", result ? result : json_null()));
}

void lsp_send_error(const json_t *id, enum lsp_error code, const char *text) {
    lsp_send(
        json_pack("{s:o, s:{s:i, s:s}}", "id", id_or_null(id), "error", "code", (int)code, "message", text));
}

void lsp_notify(const char *method, json_t *params) {
    lsp_send(json_pack("{s:s, s:o}", "method", method, "params", params));
}
