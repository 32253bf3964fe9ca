#include "codegen/debug.h"

#include "base/map.h"

#include <llvm-c/DebugInfo.h>
#include <string.h>
#include <unistd.h>

struct debug {
    LLVMDIBuilderRef b;
    LLVMMetadataRef type;               /* of every function: it says nothing */
    const char *folder;                 /* that names of files are relative to */
    struct map files;                   /* const struct source * to its file */
    struct map callees;                 /* const struct site * of a call to the function that it calls */
    struct map places;                  /* const struct site * to its location in the function being built */
    LLVMMetadataRef function, location; /* being built; its own place */
};

/* ---- the module ---- */

static void add_flag(struct emitter *e, const char *name, unsigned value) {
    LLVMMetadataRef number = LLVMValueAsMetadata(LLVMConstInt(e->i32, value, false));
    LLVMAddModuleFlag(e->module, LLVMModuleFlagBehaviorWarning, name, strlen(name), number);
}

static LLVMMetadataRef make_file(struct debug *d, const char *name) {
    return LLVMDIBuilderCreateFile(d->b, name, strlen(name), d->folder, strlen(d->folder));
}

static LLVMMetadataRef file_of(struct debug *d, const struct site *site) {
    const struct source *source = site->span.source;
    LLVMMetadataRef file = map_find(&d->files, source);
    if (!file) {
        file = make_file(d, source->name);
        map_put(&d->files, source, file);
    }
    return file;
}

static const char *current_folder(struct arena *arena) {
    char path[4096];
    return arena_strdup(arena, getcwd(path, sizeof(path)) ? path : ".");
}

void debug_open(struct emitter *e) {
    struct debug *d = ARENA_NEW(e->arena, struct debug);
    d->b = LLVMCreateDIBuilder(e->module);
    d->folder = current_folder(e->arena);
    map_init(&d->files, e->arena);
    map_init(&d->callees, e->arena);
    add_flag(e, "Debug Info Version", LLVMDebugMetadataVersion());
    add_flag(e, "Dwarf Version", 5);
    static const char producer[] = "weft " WEFT_VERSION;
    LLVMMetadataRef file = make_file(d, "weft");
    LLVMDIBuilderCreateCompileUnit(d->b, LLVMDWARFSourceLanguageC11, file, producer, sizeof(producer) - 1,
                                   true, "", 0, 0, "", 0, LLVMDWARFEmissionFull, 0, true, false, "", 0, "",
                                   0);
    d->type = LLVMDIBuilderCreateSubroutineType(d->b, file, NULL, 0, LLVMDIFlagZero);
    e->debug = d;
}

void debug_finish(struct emitter *e) {
    if (!e->debug)
        return;
    LLVMDIBuilderFinalize(e->debug->b);
    LLVMDisposeDIBuilder(e->debug->b);
    e->debug = NULL;
}

/* ---- places ---- */

static int line_of(const struct site *site, int *column) {
    int line = *column = 0;
    if (span_is_known(site->span))
        source_locate(site->span.source, site->span.begin, &line, column);
    return line;
}

static LLVMMetadataRef make_function(struct debug *d, const char *name, LLVMMetadataRef file, int line,
                                     bool is_local) {
    return LLVMDIBuilderCreateFunction(d->b, file, name, strlen(name), "", 0, file, (unsigned)line, d->type,
                                       is_local, true, (unsigned)line, LLVMDIFlagZero, true);
}

/* What the call leads to: a function that was inlined, as far as a debugger is concerned. */
static LLVMMetadataRef callee_of(struct debug *d, const struct site *call, const struct site *inside) {
    LLVMMetadataRef known = map_find(&d->callees, call);
    if (known)
        return known;
    int column;
    const char *name = call->what ? call->what : "call";
    known = make_function(d, name, file_of(d, inside), line_of(inside, &column), true);
    map_put(&d->callees, call, known);
    return known;
}

/* The nearest place on the way out that some text wrote; NULL: none. */
static const struct site *known_site(const struct site *site) {
    while (site && !span_is_known(site->span))
        site = site->caller;
    return site;
}

static LLVMMetadataRef location_of(struct emitter *e, const struct site *site) {
    struct debug *d = e->debug;
    site = known_site(site);
    if (!site)
        return d->location;
    LLVMMetadataRef known = map_find(&d->places, site);
    if (known)
        return known;
    const struct site *caller = known_site(site->caller);
    int column, line = line_of(site, &column);
    known = LLVMDIBuilderCreateDebugLocation(e->context, (unsigned)line, (unsigned)column,
                                             caller ? callee_of(d, site->caller, site) : d->function,
                                             caller ? location_of(e, caller) : NULL);
    map_put(&d->places, site, known);
    return known;
}

/* The place in the entry itself: whatever led on from there is inlined. */
static const struct site *outermost(const struct site *site) {
    const struct site *last = known_site(site);
    for (const struct site *next = last; next; next = known_site(next->caller))
        last = next;
    return last;
}

void debug_begin_function(struct emitter *e, LLVMValueRef function, const char *name,
                          const struct site *site) {
    struct debug *d = e->debug;
    if (!d)
        return;
    const struct site *outer = outermost(site);
    int column = 0, line = outer ? line_of(outer, &column) : 0;
    LLVMMetadataRef file = outer ? file_of(d, outer) : make_file(d, "weft");
    d->function = make_function(d, name, file, line, LLVMGetLinkage(function) == LLVMInternalLinkage);
    LLVMSetSubprogram(function, d->function);
    map_init(&d->places, e->arena);
    d->location =
        LLVMDIBuilderCreateDebugLocation(e->context, (unsigned)line, (unsigned)column, d->function, NULL);
    d->location = location_of(e, site);
    LLVMSetCurrentDebugLocation2(e->b, d->location);
}

void debug_end_function(struct emitter *e) {
    if (e->debug)
        LLVMSetCurrentDebugLocation2(e->b, NULL);
}

LLVMMetadataRef debug_enter(struct emitter *e, const struct site *site) {
    if (!e->debug)
        return NULL;
    LLVMMetadataRef before = LLVMGetCurrentDebugLocation2(e->b);
    LLVMSetCurrentDebugLocation2(e->b, location_of(e, site));
    return before;
}

void debug_restore(struct emitter *e, LLVMMetadataRef before) {
    if (e->debug)
        LLVMSetCurrentDebugLocation2(e->b, before);
}

/* ---- the key ---- */

static void print_site(const struct site *site, struct strbuf *out) {
    for (; site; site = site->caller) {
        int column, line = line_of(site, &column);
        strbuf_printf(out, "%s:%d:%d %s<", line ? site->span.source->name : "", line, column,
                      site->what ? site->what : "");
    }
    strbuf_puts(out, "\n");
}

static void print_statements(const struct loop_stmt *first, struct strbuf *out) {
    for (const struct loop_stmt *s = first; s; s = s->next) {
        print_site(s->site, out);
        print_statements(s->body, out);
        print_statements(s->otherwise, out);
        if (s->tile)
            print_statements(s->tile->epilogue, out);
    }
}

void debug_print_places(const struct loop_function *function, const struct site *site, struct strbuf *out) {
    const struct loop_expr **by_id =
        ARENA_ARRAY(function->arena, const struct loop_expr *, function->next_expr + 1);
    for (int i = 0; i < function->table_size; i++)
        for (const struct loop_expr *x = function->table[i]; x; x = x->chain)
            by_id[x->id] = x;
    print_site(site, out);
    print_statements(function->body, out);
    for (int i = 0; i < function->next_expr; i++)
        print_site(by_id[i] ? by_id[i]->site : NULL, out);
}
