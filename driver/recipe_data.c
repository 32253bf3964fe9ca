/* `data`: the sets of a recipe. */
#include "driver/recipe_read.h"

#include <string.h>
#include <unistd.h>

enum { LARGEST_SIDE = 1 << 16 };

/* ---- keys of pictures ---- */

static bool read_gray(struct recipe_reader *r, const struct yaml *node, void *into) {
    bool gray = false;
    if (!recipe_read_bool(r, node, &gray))
        return false;
    *(int *)into = gray ? 1 : 0;
    return true;
}

/* Whole numbers of a list, at least `least`; returns how many, -1: reported. */
static int read_sides(struct recipe_reader *r, const struct yaml *node, const char *wanted, int most,
                      int64_t *sides) {
    int count = 0;
    const struct yaml *first = node->kind == YAML_LIST ? node->children : node;
    for (const struct yaml *n = first; n; n = node->kind == YAML_LIST ? n->next : NULL) {
        if (count == most || n->kind != YAML_SCALAR) {
            recipe_wrong(r, node, wanted);
            return -1;
        }
        if (!recipe_read_natural(r, n, &sides[count]))
            return -1;
        if (sides[count++] > LARGEST_SIDE) {
            recipe_wrong(r, n, "a size of at most 65536 pixels");
            return -1;
        }
    }
    return count;
}

/* N or [height, width] */
static bool read_pair(struct recipe_reader *r, const struct yaml *node, const char *wanted, bool square,
                      int *pair) {
    int64_t sides[2] = {0};
    int count = read_sides(r, node, wanted, 2, sides);
    if (count < 0)
        return false;
    if (count == 0 || sides[0] == 0 || (count == 2 && sides[1] == 0))
        return recipe_wrong(r, node, wanted);
    pair[0] = (int)sides[0];
    pair[1] = (int)(count == 2 ? sides[1] : square ? sides[0] : 0);
    return true;
}

static bool read_resize(struct recipe_reader *r, const struct yaml *node, void *into) {
    return read_pair(r, node, "a size such as 64 (of the shorter side) or [height, width]", false, into);
}

static bool read_cut(struct recipe_reader *r, const struct yaml *node, void *into) {
    return read_pair(r, node, "a size such as 64 or [height, width]", true, into);
}

static bool read_crop(struct recipe_reader *r, const struct yaml *node, void *into) {
    static const char wanted[] = "[height, width] or [top, left, height, width]";
    int64_t sides[4] = {0};
    int *crop = into, count = read_sides(r, node, wanted, 4, sides);
    if (count < 0)
        return false;
    if (count == 1)
        sides[1] = sides[0];
    bool has_place = count == 4;
    if (count == 0 || count == 3 || sides[has_place ? 2 : 0] == 0 || sides[has_place ? 3 : 1] == 0)
        return recipe_wrong(r, node, wanted);
    for (int i = 0; i < 4; i++)
        crop[i] = has_place ? (int)sides[i] : i < 2 ? 0 : (int)sides[i - 2];
    return true;
}

static bool read_rotate(struct recipe_reader *r, const struct yaml *node, void *into) {
    double angle = 0;
    if (!recipe_read_real(r, node, &angle))
        return false;
    if (angle < 0 || angle > 180)
        return recipe_wrong(r, node, "an angle from 0 to 180 degrees");
    *(float *)into = (float)angle;
    return true;
}

/* Two numbers, lo < hi, into options.lo and hi. */
static bool read_range(struct recipe_reader *r, const struct yaml *node, void *into) {
    struct weft_dataset_options *options = into;
    double lo = 0, hi = 0;
    const struct yaml *first = node->kind == YAML_LIST ? node->children : NULL;
    if (!first || !first->next || first->next->next)
        return recipe_wrong(r, node, "a range such as [-1, 1]");
    if (!recipe_read_real(r, first, &lo) || !recipe_read_real(r, first->next, &hi))
        return false;
    options->lo = (float)lo;
    options->hi = (float)hi;
    return options->lo < options->hi || recipe_wrong(r, node, "a range with its lower end first");
}

/* The keys of pictures, as rows of two tables: of a set, and of `image` in a set of pairs. */
#define PICTURE_KEYS                                                                                         \
    {"gray", read_gray,       KEY_AT(recipe_data, options.channels),                                         \
     false,  "true or false", "one channel instead of three",                                                \
     NULL},                                                                                                  \
        {"crop",                                                                                             \
         read_crop,                                                                                          \
         KEY_AT(recipe_data, options.steps.crop),                                                            \
         false,                                                                                              \
         "[height, width] or [top, left, height, width]",                                                    \
         "this part of each picture, before anything else; without a place the upper left",                  \
         NULL},                                                                                              \
        {"resize",                                                                                           \
         read_resize,                                                                                        \
         KEY_AT(recipe_data, options.steps.resize),                                                          \
         false,                                                                                              \
         "N or [height, width]",                                                                             \
         "scale: the shorter side to N, or both sides",                                                      \
         NULL},                                                                                              \
        {"rotate", read_rotate, KEY_AT(recipe_data, options.steps.rotate),                                   \
         false,    "degrees",   "turn by an angle drawn from [-degrees, degrees]; outside is black",         \
         NULL},                                                                                              \
        {"random_crop",                                                                                      \
         read_cut,                                                                                           \
         KEY_AT(recipe_data, options.steps.random_crop),                                                     \
         false,                                                                                              \
         "N or [height, width]",                                                                             \
         "a part of this size at a place that is drawn",                                                     \
         NULL},                                                                                              \
        {"center_crop",                                                                                      \
         read_cut,                                                                                           \
         KEY_AT(recipe_data, options.steps.center_crop),                                                     \
         false,                                                                                              \
         "N or [height, width]",                                                                             \
         "the part of this size in the middle",                                                              \
         NULL},                                                                                              \
        {"flip", recipe_read_bool, KEY_AT(recipe_data, options.steps.flip),                                  \
         false,  "true or false",  "mirrored left to right, one time in two",                                \
         NULL},                                                                                              \
    {                                                                                                        \
        "range", read_range, KEY_AT(recipe_data, options), false, "[low, high]",                             \
            "what black and white become ([0, 1])", NULL                                                     \
    }

static const struct key image_keys[] = {PICTURE_KEYS, {0}};

static bool read_image(struct recipe_reader *r, const struct yaml *node, void *into) {
    return recipe_read_map(r, node, image_keys, into);
}

/* ---- texts ---- */

static bool read_bpe(struct recipe_reader *r, const struct yaml *node, void *into) {
    static const char *const choices[] = {"clip"};
    (void)into;
    return recipe_read_choice(r, node, choices, 1, "an encoding (clip)") >= 0;
}

const struct key recipe_text_keys[] = {
    {"bpe", read_bpe, 0, true, "clip", "byte-pair encoding as CLIP does it", NULL},
    {"merges", recipe_read_input_path, KEY_AT(recipe_data, options.merges), false, "FILE",
     "its list of merges: merges.txt, or bpe_simple_vocab_16e6.txt.gz (default: merges.txt beside the "
     "recipe)",
     NULL},
    {"length", recipe_read_positive, KEY_AT(recipe_data, options.text_length), true, "whole number",
     "numbers of a text: CLIP's is 77", NULL},
    {0}};

static bool read_text_map(struct recipe_reader *r, const struct yaml *node, void *into) {
    struct recipe_data *data = into;
    if (!recipe_read_map(r, node, recipe_text_keys, into))
        return false;
    if (data->options.merges)
        return true;
    data->options.merges = recipe_resolve(r, "merges.txt");
    if (access(data->options.merges, R_OK) == 0)
        return true;
    diag_hint(diag_error(r->diags, node->span, E_RECIPE,
                         "`%s` cannot be read: a byte-pair encoding needs its list of merges",
                         data->options.merges),
              "`merges: FILE` names it; CLIP's is bpe_simple_vocab_16e6.txt.gz of its repository, or "
              "merges.txt of its descendants");
    return false;
}

/* ---- the other keys ---- */

static const char *const kinds[] = {"idx",    "mnist",   "cifar10",  "npz",  "npy",
                                    "images", "folders", "unpaired", "pairs"};
enum { KIND_COUNT = sizeof kinds / sizeof *kinds };

const char *const recipe_kinds_help[][2] = {
    {"idx, mnist", "a folder (dir) of IDX files: image, label"},
    {"cifar10", "a folder (dir) of CIFAR-10's binary batches: image, label"},
    {"npz", "a file of arrays: its arrays by name. u8 of [N,H,W], [N,C,H,W] or [N,H,W,C] are pictures"},
    {"npy", "a file (image), or a folder (dir) in which NAME.npy is the field NAME"},
    {"images", "a folder (dir) of PNG and JPEG: image"},
    {"folders", "a folder (dir) with such a folder for each class: image, label"},
    {"unpaired", "two folders of pictures, a and b: a, b"},
    {"pairs", "a table (tab-separated: path, text): image and, with `text`, text"},
    {NULL, NULL},
};

static bool read_kind(struct recipe_reader *r, const struct yaml *node, void *into) {
    int kind = recipe_read_choice(
        r, node, kinds, KIND_COUNT,
        "a kind of data (idx, mnist, cifar10, npz, npy, images, folders, unpaired, pairs)");
    if (kind < 0 && node->text && strcmp(node->text, "generated") == 0)
        diag_hint(diags_last(r->diags),
                  "what a fn of a model generates is written to a file first, `weft run "
                  "M.weft:fn n=100000 -o data.npy`: kind: npy, file: data.npy");
    *(const char **)into = kind >= 0 ? kinds[kind] : NULL;
    return kind >= 0;
}

static bool read_split(struct recipe_reader *r, const struct yaml *node, void *into) {
    static const char *const splits[] = {"train", "test", "held"};
    *(const char **)into = node->text;
    return recipe_read_choice(r, node, splits, 3, "train, test or held") >= 0;
}

static bool read_shuffle(struct recipe_reader *r, const struct yaml *node, void *into) {
    bool value = false;
    if (!recipe_read_bool(r, node, &value))
        return false;
    *(int *)into = value;
    return true;
}

static bool read_on_error(struct recipe_reader *r, const struct yaml *node, void *into) {
    static const char *const choices[] = {"stop", "skip"};
    int choice = recipe_read_choice(r, node, choices, 2, "stop or skip");
    *(bool *)into = choice == 1;
    return choice >= 0;
}

static bool read_fields(struct recipe_reader *r, const struct yaml *node, void *into) {
    static const char *const dtypes[] = {"f32", "i32", "u8"};
    static const weft_dtype codes[] = {WEFT_F32, WEFT_I32, WEFT_U8};
    struct recipe_data *data = into;
    if (node->kind != YAML_MAP)
        return recipe_wrong(r, node, "a map of names to dtypes");
    for (const struct yaml *child = node->children; child; child = child->next) {
        int choice = recipe_read_choice(r, child, dtypes, 3, "f32, i32, or u8 for pictures");
        if (choice < 0)
            return false;
        struct weft_wanted_field field = {child->key->text, codes[choice]};
        VEC_PUSH(r->arena, &data->fields, field);
    }
    data->options.fields = data->fields.at;
    data->options.field_count = data->fields.count;
    return true;
}

#define OPTION_AT(field) KEY_AT(recipe_data, options.field)
const struct key recipe_data_keys[] = {
    {"kind", read_kind, OPTION_AT(kind), true, "one of the kinds below", "what the files are", NULL},
    {"dir", recipe_read_input_path, OPTION_AT(path), false, "FOLDER", "where they are",
     " idx mnist cifar10 npy images folders "},
    {"file", recipe_read_input_path, OPTION_AT(path), false, "FILE", "the file", " npz npy "},
    {"a", recipe_read_input_path, OPTION_AT(path), false, "FOLDER", "the pictures of `a`", " unpaired "},
    {"b", recipe_read_input_path, OPTION_AT(other), false, "FOLDER", "the pictures of `b`", " unpaired "},
    {"table", recipe_read_input_path, OPTION_AT(path), false, "FILE",
     "a line of path, tab and text for each picture", " pairs "},
    {"fields", read_fields, 0, false, "{NAME: f32, i32 or u8}", "these arrays alone, as these (u8: pictures)",
     " npz "},
    {"image", read_image, 0, false, "map", "the keys of pictures, apart from those of texts", " pairs "},
    {"text", read_text_map, 0, false, "{bpe, merges, length}",
     "how texts become numbers; without it there are none", " pairs "},
    {"split", read_split, OPTION_AT(split), false, "train, test or held", "which part (train)", NULL},
    {"hold_out", recipe_read_natural, OPTION_AT(hold_out), false, "whole number",
     "so many items at the end are `held`, and missing in `train`", NULL},
    {"limit", recipe_read_natural, OPTION_AT(limit), false, "whole number", "at most so many items", NULL},
    PICTURE_KEYS,
    {"shuffle", read_shuffle, KEY_AT(recipe_data, shuffle), false, "true or false",
     "a new order in each epoch (true for training)", NULL},
    {"on_error", read_on_error, OPTION_AT(skip_broken), false, "stop or skip",
     "what a file does that cannot be read: end the run (stop), or give way to the next", NULL},
    {0}};

/* ---- a set ---- */

static bool names_kind(const char *names, const char *kind) {
    size_t length = strlen(kind);
    for (const char *at = names; (at = strstr(at, kind)); at++)
        if (at[-1] == ' ' && at[length] == ' ')
            return true;
    return false;
}

static bool check_keys(struct recipe_reader *r, const struct yaml *node, const char *kind) {
    bool ok = true;
    for (const struct yaml *child = node->children; child; child = child->next)
        for (const struct key *k = recipe_data_keys; k->name; k++)
            if (k->kinds && strcmp(k->name, child->key->text) == 0 && !names_kind(k->kinds, kind)) {
                diag_error(r->diags, child->key->span, E_RECIPE, "data of kind `%s` have no key `%s`", kind,
                           k->name);
                ok = false;
            }
    return ok;
}

/* Where the data are must be said, by a key that the kind has. */
static bool check_place(struct recipe_reader *r, const struct yaml *node, const struct recipe_data *data) {
    const char *kind = data->options.kind;
    bool is_unpaired = strcmp(kind, "unpaired") == 0;
    if (data->options.path && (data->options.other || !is_unpaired))
        return true;
    const char *wanted = is_unpaired                  ? (data->options.path ? "b" : "a")
                         : strcmp(kind, "pairs") == 0 ? "table"
                         : strcmp(kind, "npz") == 0   ? "file"
                                                      : "dir";
    diag_error(r->diags, node->span, E_RECIPE, "the key `%s` is missing here", wanted);
    return false;
}

static bool read_set(struct recipe_reader *r, const struct yaml *node) {
    struct recipe_data *data = ARENA_NEW(r->arena, struct recipe_data);
    *data = (struct recipe_data){
        .name = node->key->text, .shuffle = -1, .span = node->span, .options = {.hi = 1}};
    VEC_PUSH(r->arena, &r->recipe->data, data); /* also with mistakes in it: who names it makes none */
    return recipe_read_map(r, node, recipe_data_keys, data) && check_keys(r, node, data->options.kind) &&
           check_place(r, node, data);
}

bool recipe_read_data(struct recipe_reader *r, const struct yaml *node, void *into) {
    bool ok = true;
    (void)into;
    if (node->kind != YAML_MAP)
        return recipe_wrong(r, node, "a map of named sets");
    for (const struct yaml *child = node->children; child; child = child->next)
        ok = read_set(r, child) && ok;
    return ok;
}

const struct recipe_data *recipe_find_data(const struct recipe *recipe, const char *name) {
    for (int i = 0; i < recipe->data.count; i++)
        if (strcmp(recipe->data.at[i]->name, name) == 0)
            return recipe->data.at[i];
    return NULL;
}
