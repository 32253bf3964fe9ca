#include "driver/linker.h"

#include "runtime/file.h"

#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const compilers[] = {"cc", "gcc", "clang", "clang-19"};
enum { COMPILER_COUNT = sizeof(compilers) / sizeof(*compilers) };

/* The exit status of a program, its messages on our standard error; -1: it cannot be started, errno says why.
 */
static int run_program(const char *const *words) {
    pid_t child;
    int status;
    /* posix_spawnp does not write to the words (POSIX: they are constant for it) */
    errno = posix_spawnp(&child, words[0], NULL, NULL, (char *const *)words, environ);
    if (errno)
        return -1;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static bool run_compiler(struct session *session, const char *object, const char *library, const char *name) {
    const char *soname = arena_printf(session->arena, "-Wl,-soname,%s", name);
    const char *words[] = {NULL, "-shared", soname, "-o", library, object, "-lm", NULL, NULL};
    if (session->use_openblas)
        words[7] = "-lopenblas";
    for (int i = 0; i < COMPILER_COUNT; i++) {
        words[0] = compilers[i];
        int status = run_program(words);
        if (status == 0)
            return true;
        if (status > 0)
            return session_fail(session, E_COMPILE, "`%s -shared` does not link the object: see above",
                                compilers[i]);
    }
    session_fail(session, E_COMPILE,
                 "a shared library is linked by the C compiler, and there is no `cc` here: %s",
                 strerror(errno));
    diag_hint(diags_last(session->diags), "install gcc or clang, or build an object: -o FILE.o");
    return false;
}

bool linker_make_shared(struct session *session, const char *path, const void *object, size_t size) {
    const char *slash = strrchr(path, '/');
    const char *part = arena_printf(session->arena, "%s.%ld.o", path, (long)getpid()),
               *whole = arena_printf(session->arena, "%s.%ld.so", path, (long)getpid());
    struct weft_error error;
    if (!weft_file_write_whole(part, object, size, &error))
        return session_fail(session, E_FILE, "%s", error.message);
    bool ok = run_compiler(session, part, whole, slash ? slash + 1 : path);
    if (ok && rename(whole, path) != 0)
        ok = session_fail(session, E_FILE, "%s cannot be written: %s", path, strerror(errno));
    if (!ok)
        remove(whole);
    remove(part);
    return ok;
}
