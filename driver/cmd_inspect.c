/* driver/cmd_inspect.c: weft inspect: what a file holds. */
#include "driver/session.h"
#include "driver/values.h"
#include "runtime/image.h"
#include "runtime/npy.h"
#include "runtime/weights.h"
#include "runtime/zip.h"

#include <jansson.h>
#include <string.h>

/* One line of the listing, as text or as JSON. */
static void put_tensor(const struct session *session, const char *file, const char *name, weft_dtype dtype,
                       int rank, const int64_t *shape) {
    if (session->json) {
        json_t *sizes = json_array();
        for (int i = 0; i < rank; i++)
            json_array_append_new(sizes, json_integer(shape[i]));
        json_t *object = json_pack("{s:s, s:s, s:s, s:o}", "file", file, "name", name, "dtype",
                                   weft_dtype_name(dtype), "shape", sizes);
        if (object)
            json_dumpf(object, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(object);
        return;
    }
    printf("%s %s [", name, weft_dtype_name(dtype));
    for (int i = 0; i < rank; i++)
        printf("%s%lld", i ? ", " : "", (long long)shape[i]);
    printf("]\n");
}

static bool inspect_weights(struct session *session, const char *path, struct weft_error *error) {
    struct weft_weights *file = weft_weights_open(path, error);
    if (!file)
        return false;
    int64_t total = 0;
    for (int i = 0; i < weft_weights_count(file); i++) {
        const struct weft_weight *w = weft_weights_at(file, i);
        put_tensor(session, path, w->name, w->dtype, w->rank, w->shape);
        total += (int64_t)(w->bytes / weft_dtype_size(w->dtype));
    }
    if (!session->json)
        printf("%s: %d tensors, %lld elements\n", path, weft_weights_count(file), (long long)total);
    weft_weights_close(file);
    return true;
}

static bool inspect_array(struct session *session, const char *path, struct weft_error *error) {
    struct weft_array array;
    if (!weft_npy_read(path, &array, error))
        return false;
    put_tensor(session, path, path, array.dtype, array.rank, array.shape);
    if (!session->json) {
        struct strbuf text;
        strbuf_init(&text, session->arena);
        value_print(&text, "",
                    type_of_sizes(session->types, (enum dtype)array.dtype, array.rank, array.shape),
                    array.data);
        fputs(text.text, stdout);
    }
    weft_array_destroy(&array);
    return true;
}

static bool inspect_npz(struct session *session, const char *path, struct weft_error *error) {
    struct weft_zip zip;
    if (!weft_zip_open(&zip, path, error))
        return false;
    bool ok = true;
    for (int i = 0; ok && i < zip.count; i++) {
        struct weft_array array;
        const char *name = zip.members[i].name;
        size_t length = strlen(name);
        bool has_ending = length > 4 && strcmp(name + length - 4, ".npy") == 0;
        ok = weft_npz_read(&zip, i, &array, error);
        if (ok)
            put_tensor(session, path, arena_strndup(session->arena, name, has_ending ? length - 4 : length),
                       array.dtype, array.rank, array.shape);
        weft_array_destroy(&array);
    }
    weft_zip_close(&zip);
    return ok;
}

static bool inspect_image(struct session *session, const char *path, struct weft_error *error) {
    struct weft_image image;
    if (!weft_image_read(path, 0, &image, error))
        return false;
    const int64_t shape[] = {image.channels, image.height, image.width};
    put_tensor(session, path, path, WEFT_U8, 3, shape);
    weft_image_destroy(&image);
    return true;
}

static const struct {
    const char *ending;
    bool (*inspect)(struct session *, const char *, struct weft_error *);
} kinds[] = {{".safetensors", inspect_weights}, {".npy", inspect_array}, {".npz", inspect_npz},
             {".png", inspect_image},           {".jpg", inspect_image}, {".jpeg", inspect_image}};

static bool inspect(struct session *session, const char *path) {
    size_t length = strlen(path);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        size_t n = strlen(kinds[i].ending);
        struct weft_error error;
        if (length > n && strcmp(path + length - n, kinds[i].ending) == 0)
            return kinds[i].inspect(session, path, &error) || session_fail_read(session, path, error.message);
    }
    return session_fail(session, E_FILE, "%s: the name must end in .safetensors, .npy, .npz, .png or .jpg",
                        path);
}

enum exit_status command_inspect(struct invocation *invocation) {
    struct session session;
    if (invocation->words.count == 0)
        return usage_error(invocation, "which file?");
    if (!session_open(&session, invocation))
        return EXIT_USAGE;
    bool ok = true;
    for (int i = 0; i < invocation->words.count; i++)
        ok = inspect(&session, invocation->words.at[i]) && ok;
    return session_finish(&session, ok);
}
