#include "runtime/bpe.h"

#include "runtime/error.h"
#include "runtime/file.h"

#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <wctype.h>

enum {
    BYTES = 256,
    FIRST_MERGE = 2 * BYTES,
    MERGES_MOST = 49152 - 256 - 2 - 256 + 256,
    LARGEST_FILE = 1 << 26
};
_Static_assert(MERGES_MOST == 48894, "CLIP takes so many merges of its list, whatever is behind them");

/* A hash table without removal, open addressing; keys are never 0. */
struct table {
    uint64_t *keys;
    int32_t *values;
    size_t capacity; /* a power of two, at least twice the entries */
};

static bool table_create(struct table *t, size_t entries) {
    for (t->capacity = 64; t->capacity < 2 * entries; t->capacity *= 2)
        ;
    t->keys = calloc(t->capacity, sizeof *t->keys);
    t->values = calloc(t->capacity, sizeof *t->values);
    return t->keys && t->values;
}

static size_t table_slot(const struct table *t, uint64_t key) {
    size_t at = (size_t)((key * 0x9E3779B97F4A7C15u) >> 20) & (t->capacity - 1);
    while (t->keys[at] && t->keys[at] != key)
        at = (at + 1) & (t->capacity - 1);
    return at;
}

static int32_t table_find(const struct table *t, uint64_t key) {
    size_t at = table_slot(t, key);
    return t->keys[at] ? t->values[at] : -1;
}

static void table_put(struct table *t, uint64_t key, int32_t value) {
    size_t at = table_slot(t, key);
    t->keys[at] = key;
    t->values[at] = value;
}

struct weft_bpe {
    struct table texts; /* the spelling of a symbol, hashed, to its number: for reading the merges */
    struct table pairs; /* two numbers to that of their merge; lower ones come first */
    int32_t count;      /* merges */
    int32_t number_of_byte[BYTES];
    locale_t locale;
};

/* FNV-1a in 64 bits. Two spellings of one hash would be taken for one: among 50000, one chance in 10^10. */
static uint64_t hash_text(uint64_t hash, const unsigned char *text, size_t length) {
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ text[i]) * 0x100000001b3u;
    return hash ? hash : 1;
}
static const uint64_t HASH_START = 0xcbf29ce484222325u;

static uint64_t pair_key(int32_t left, int32_t right) {
    return (uint64_t)(uint32_t)left << 32 | (uint32_t)right | (uint64_t)1 << 63;
}

/* GPT-2's spelling of bytes: what prints stands for itself, the others are U+0100 and up. Both orders, of the
 * code points and of the numbers, begin with the printing ones. */
static bool prints(int byte) {
    return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || (byte >= 0xAE && byte <= 0xFF);
}

static void put_byte(struct weft_bpe *bpe, int byte, int number, int code) {
    unsigned char text[6];
    size_t length = 0;
    if (code >= 0x80)
        text[length++] = (unsigned char)(0xC0 | code >> 6);
    text[length++] = (unsigned char)(code >= 0x80 ? 0x80 | (code & 0x3F) : code);
    bpe->number_of_byte[byte] = number;
    uint64_t hash = hash_text(HASH_START, text, length);
    table_put(&bpe->texts, hash, number);
    table_put(&bpe->texts, hash_text(hash, (const unsigned char *)"</w>", 4), number + BYTES);
}

static void put_bytes(struct weft_bpe *bpe) {
    int number = 0;
    for (int byte = 0; byte < BYTES; byte++)
        if (prints(byte))
            put_byte(bpe, byte, number++, byte);
    for (int byte = 0, other = 0; byte < BYTES; byte++)
        if (!prints(byte))
            put_byte(bpe, byte, number++, 256 + other++);
}

/* ---- reading the merges ---- */

struct lines {
    const char *name;
    const unsigned char *at, *end;
    int line;
    struct weft_error *error;
};

/* "left right": false where it is none. */
static bool split_line(const unsigned char *line, size_t length, size_t *left, size_t *right) {
    const unsigned char *space = memchr(line, ' ', length);
    if (!space)
        return false;
    *left = (size_t)(space - line);
    *right = length - *left - 1;
    return *left > 0 && *right > 0 && !memchr(space + 1, ' ', *right);
}

static bool put_merge(struct weft_bpe *bpe, const struct lines *l, const unsigned char *line, size_t length) {
    size_t left, right;
    if (!split_line(line, length, &left, &right))
        return weft_fail(l->error, "%s: line %d: a merge is two symbols with a space between", l->name,
                         l->line);
    uint64_t hash = hash_text(HASH_START, line, left);
    int32_t a = table_find(&bpe->texts, hash),
            b = table_find(&bpe->texts, hash_text(HASH_START, line + left + 1, right));
    if (a < 0 || b < 0)
        return weft_fail(l->error, "%s: line %d: a symbol that no line before it makes", l->name, l->line);
    table_put(&bpe->texts, hash_text(hash, line + left + 1, right), FIRST_MERGE + bpe->count);
    if (table_find(&bpe->pairs, pair_key(a, b)) < 0)
        table_put(&bpe->pairs, pair_key(a, b), FIRST_MERGE + bpe->count);
    bpe->count++;
    return true;
}

static bool read_lines(struct weft_bpe *bpe, struct lines *l) {
    while (l->at < l->end && bpe->count < MERGES_MOST) {
        const unsigned char *newline = memchr(l->at, '\n', (size_t)(l->end - l->at));
        size_t length = (size_t)((newline ? newline : l->end) - l->at);
        size_t used = length > 0 && l->at[length - 1] == '\r' ? length - 1 : length;
        l->line++;
        bool is_heading = l->line == 1 && memmem(l->at, used, "#version", 8);
        if (used > 0 && !is_heading && !put_merge(bpe, l, l->at, used))
            return false;
        l->at += length + (newline != NULL);
    }
    return bpe->count > 0 || weft_fail(l->error, "%s: there are no merges in it", l->name);
}

struct weft_bpe *weft_bpe_parse(const char *name, const void *bytes, size_t size, struct weft_error *error) {
    struct weft_bpe *bpe = calloc(1, sizeof *bpe);
    size_t most = size / 4 < MERGES_MOST ? size / 4 + 1 : MERGES_MOST;
    if (!bpe || !table_create(&bpe->texts, most + FIRST_MERGE) || !table_create(&bpe->pairs, most)) {
        weft_fail(error, "%s: no memory to read it", name);
        weft_bpe_close(bpe);
        return NULL;
    }
    put_bytes(bpe);
    struct lines lines = {
        .name = name, .at = bytes, .end = (const unsigned char *)bytes + size, .error = error};
    if (!read_lines(bpe, &lines)) {
        weft_bpe_close(bpe);
        return NULL;
    }
    bpe->locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    return bpe;
}

static bool open_gzip(const char *path, unsigned char **bytes, size_t *size, struct weft_error *error) {
    if (*size < 2 || (*bytes)[0] != 0x1f || (*bytes)[1] != 0x8b)
        return true;
    unsigned char *opened;
    bool ok = weft_gunzip(path, *bytes, *size, LARGEST_FILE, &opened, size, error);
    if (!ok)
        return false;
    free(*bytes);
    *bytes = opened;
    return true;
}

struct weft_bpe *weft_bpe_open(const char *path, struct weft_error *error) {
    unsigned char *bytes = NULL;
    size_t size;
    if (!weft_file_read(path, LARGEST_FILE, &bytes, &size, error))
        return NULL;
    struct weft_bpe *bpe =
        open_gzip(path, &bytes, &size, error) ? weft_bpe_parse(path, bytes, size, error) : NULL;
    free(bytes);
    return bpe;
}

void weft_bpe_close(struct weft_bpe *bpe) {
    if (!bpe)
        return;
    struct table *const tables[] = {&bpe->texts, &bpe->pairs};
    for (int i = 0; i < 2; i++) {
        free(tables[i]->keys);
        free(tables[i]->values);
    }
    if (bpe->locale)
        freelocale(bpe->locale);
    free(bpe);
}

int32_t weft_bpe_count(const struct weft_bpe *bpe) {
    return FIRST_MERGE + bpe->count + 2;
}

/* ---- texts ---- */

/* A code point of UTF-8 and its length; a byte that is no UTF-8 is a sign of its own. */
static int32_t decode(const unsigned char *text, int *length) {
    int more = text[0] >= 0xF0 && text[0] < 0xF8   ? 3
               : text[0] >= 0xE0 && text[0] < 0xF0 ? 2
               : text[0] >= 0xC2 && text[0] < 0xE0 ? 1
                                                   : 0;
    int32_t code = more == 0 ? text[0] : text[0] & (0x3F >> more);
    *length = 1;
    for (int i = 1; i <= more; i++) {
        if ((text[i] & 0xC0) != 0x80)
            return 0xFFFD;
        code = code << 6 | (text[i] & 0x3F);
    }
    *length = more + 1;
    return more == 0 && code >= 0x80 ? 0xFFFD : code;
}

static int encode(int32_t code, unsigned char *out) {
    int more = code < 0x80 ? 0 : code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    static const unsigned char heads[] = {0, 0xC0, 0xE0, 0xF0};
    out[0] = (unsigned char)(heads[more] | code >> 6 * more);
    for (int i = 1; i <= more; i++)
        out[i] = (unsigned char)(0x80 | (code >> 6 * (more - i) & 0x3F));
    return more + 1;
}

/* Numbers beyond ASCII (Unicode's class N), which the C library counts as letters or as signs. */
static const struct {
    int32_t first, last;
} numbers[] = {{'0', '9'},       {0xB2, 0xB3},     {0xB9, 0xB9},     {0xBC, 0xBE},
               {0x660, 0x669},   {0x6F0, 0x6F9},   {0x966, 0x96F},   {0x9E6, 0x9EF},
               {0xE50, 0xE59},   {0x2070, 0x2070}, {0x2074, 0x2079}, {0x2080, 0x2089},
               {0x2150, 0x2189}, {0x2460, 0x249B}, {0x3007, 0x3007}, {0xFF10, 0xFF19}};

enum { SPACE, LETTER, NUMBER, SIGN };

static int class_of(const struct weft_bpe *bpe, int32_t code) {
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (code >= numbers[i].first && code <= numbers[i].last)
            return NUMBER;
    if (code < 0x80)
        return code == ' ' || (code >= 9 && code <= 13) || (code >= 0x1C && code <= 0x1F) ? SPACE
               : (code >= 'a' && code <= 'z') || (code >= 'A' && code <= 'Z')             ? LETTER
                                                                                          : SIGN;
    if (code == 0xA0 || code == 0x85 || (bpe->locale && iswspace_l((wint_t)code, bpe->locale)))
        return SPACE;
    return bpe->locale && iswalpha_l((wint_t)code, bpe->locale) ? LETTER : SIGN;
}

/* &amp; and its like, which captions from the web hold. Returns the bytes it takes, 0 for none. */
static size_t entity(const unsigned char *text, unsigned char *code) {
    static const struct {
        const char *text;
        char code;
    } entities[] = {{"&amp;", '&'},  {"&lt;", '<'},   {"&gt;", '>'},
                    {"&quot;", '"'}, {"&#39;", '\''}, {"&apos;", '\''}};
    for (size_t i = 0; i < sizeof entities / sizeof *entities; i++)
        if (strncmp((const char *)text, entities[i].text, strlen(entities[i].text)) == 0) {
            *code = (unsigned char)entities[i].code;
            return strlen(entities[i].text);
        }
    return 0;
}

/* Lower case, entities opened. A lower-case letter may take more bytes than its capital: at most 3 for 2. */
static unsigned char *clean(const struct weft_bpe *bpe, const char *text) {
    unsigned char *out = malloc(2 * strlen(text) + 8);
    size_t length = 0;
    for (const unsigned char *at = (const unsigned char *)text; out && *at;) {
        unsigned char opened;
        size_t taken = entity(at, &opened);
        int used = (int)taken;
        if (taken) {
            out[length++] = opened;
        } else {
            int32_t code = decode(at, &used);
            if (code == 0xFFFD) {
                memcpy(out + length, at, (size_t)used);
                length += (size_t)used;
            } else {
                bool is_ascii = code < 0x80, is_capital = code >= 'A' && code <= 'Z';
                length += (size_t)encode(is_capital ? code + 32
                                         : is_ascii || !bpe->locale
                                             ? code
                                             : (int32_t)towlower_l((wint_t)code, bpe->locale),
                                         out + length);
            }
        }
        at += used;
    }
    if (out)
        out[length] = 0;
    return out;
}

/* The length of the word at `at`, which is no space: CLIP's pattern
 * 's|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+ */
static size_t word_length(const struct weft_bpe *bpe, const unsigned char *at) {
    static const char *const endings[] = {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (strncmp((const char *)at, endings[i], strlen(endings[i])) == 0)
            return strlen(endings[i]);
    int used;
    int class = class_of(bpe, decode(at, &used));
    size_t length = (size_t)used;
    while (class != NUMBER && at[length] && class_of(bpe, decode(at + length, &used)) == class)
        length += (size_t)used;
    return length;
}

/* Joins the pairs of a word, the earliest merge first; returns how many numbers are left. */
static size_t join(const struct weft_bpe *bpe, int32_t *word, size_t count) {
    while (count > 1) {
        int32_t best = -1;
        for (size_t i = 0; i + 1 < count; i++) {
            int32_t made = table_find(&bpe->pairs, pair_key(word[i], word[i + 1]));
            best = made >= 0 && (best < 0 || made < best) ? made : best;
        }
        if (best < 0)
            break;
        size_t kept = 0;
        for (size_t i = 0; i < count; kept++) {
            bool is_pair = i + 1 < count && table_find(&bpe->pairs, pair_key(word[i], word[i + 1])) == best;
            word[kept] = is_pair ? best : word[i];
            i += is_pair ? 2 : 1;
        }
        count = kept;
    }
    return count;
}

/* A word's bytes as numbers. Words longer than any in a caption are cut: joining takes the square of the
 * length. */
enum { WORD_MOST = 1024 };

static size_t spell(const struct weft_bpe *bpe, const unsigned char *at, size_t length, int32_t *word) {
    length = length > WORD_MOST ? WORD_MOST : length;
    for (size_t i = 0; i < length; i++)
        word[i] = bpe->number_of_byte[at[i]];
    word[length - 1] += BYTES;
    return join(bpe, word, length);
}

int64_t weft_bpe_encode(const struct weft_bpe *bpe, const char *text, int64_t length, int32_t *out) {
    int32_t word[WORD_MOST], start = FIRST_MERGE + bpe->count, end = start + 1;
    unsigned char *cleaned = clean(bpe, text);
    if (!cleaned)
        return -1;
    int64_t count = 1, room = length - 1; /* room: before the end */
    if (length > 0)
        out[0] = start;
    for (const unsigned char *at = cleaned; *at;) {
        int used;
        if (class_of(bpe, decode(at, &used)) == SPACE) {
            at += used;
            continue;
        }
        size_t bytes = word_length(bpe, at), numbers_count = spell(bpe, at, bytes, word);
        for (size_t i = 0; i < numbers_count; i++, count++)
            if (count < room)
                out[count] = word[i];
        at += bytes;
    }
    free(cleaned);
    for (int64_t i = count < room ? count : room; i < length; i++)
        if (i >= 0)
            out[i] = end;
    return count + 1;
}
