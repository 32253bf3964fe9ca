/* driver/cmd_cache.c: weft cache: the compiled kernels that are kept on disk. */
#include "base/store.h"
#include "driver/session.h"

#include <string.h>
#include <time.h>

static void list_entries(const struct session *session, const struct store *store) {
    struct store_list list = {0};
    store_list(store, session->arena, &list);
    for (int i = 0; i < list.entries.count; i++) {
        const struct store_entry *e = &list.entries.at[i];
        char day[32];
        time_t used = (time_t)e->last_used;
        struct tm local;
        strftime(day, sizeof day, "%Y-%m-%d %H:%M", localtime_r(&used, &local));
        printf(session->json ? "{\"key\":\"%s\",\"bytes\":%lld,\"last_used\":\"%s\"}\n" : "%s  %9lld  %s\n",
               e->key, (long long)e->bytes, day);
    }
    if (!session->json)
        printf("%s: %d entries, %.1f MB\n", store->folder, list.entries.count, 1e-6 * (double)list.bytes);
}

static bool work(struct session *session, const char *word) {
    const char *why;
    struct store store;
    if (!session->cache)
        return session_fail(session, E_FILE, "there is no cache: it is off, or this user has no home");
    if (!store_open(&store, session->arena, session->cache, &why))
        return session_fail(session, E_FILE, "the cache %s cannot be used: %s", session->cache, why);
    if (strcmp(word, "clear") == 0)
        printf("%d entries removed\n", store_clear(&store, session->arena));
    else
        list_entries(session, &store);
    return true;
}

enum exit_status command_cache(struct invocation *invocation) {
    struct session session;
    const char *word = invocation->words.count == 1 ? invocation->words.at[0] : "";
    if (strcmp(word, "list") != 0 && strcmp(word, "clear") != 0)
        return usage_error(invocation, "`list` or `clear`?");
    if (!session_open(&session, invocation))
        return EXIT_USAGE;
    bool ok = work(&session, word);
    return session_finish(&session, ok);
}
