/* driver/cmd_check.c: weft check. */
#include "driver/entries.h"

static void list_weights(const struct session *session, const struct graph *graph) {
    for (int i = 0; i < graph->states.count; i++) {
        const struct state *state = graph->states.at[i];
        if (state->kind != STATE_WEIGHT)
            continue;
        struct strbuf shape;
        strbuf_init(&shape, session->arena);
        for (int k = 0; k < state->type->rank; k++) {
            strbuf_puts(&shape, k ? ", " : "");
            dim_print(&shape, state->type->dims[k]);
        }
        printf("%s %s [%s]\n", state->name, dtype_text(state->type->dtype), shape.text);
    }
}

/* What has no gradient is a mistake of the text: it is found here, not when the training begins. */
static bool has_gradients(struct session *session, const struct graph *graph) {
    struct graph *copy = graph_copy(graph, session->arena);
    struct pass_context context = {.functions = copy->functions.at, .function_count = copy->functions.count};
    return session_run_passes(session, copy, &context, "differentiate");
}

static bool check_model(struct session *session, const struct model_name *name, bool names) {
    struct instance *instance = session_instantiate(session, name, NULL, 0);
    const struct sizes none = {0};
    struct requests requests = {0};
    if (!instance || (instance_entry_count(instance) > 0 &&
                      !entries_elaborate(session, instance, name->fn, &none, &requests)))
        return false;
    if (!instance_check_init(instance) || !has_gradients(session, instance_graph(instance)))
        return false;
    if (names)
        list_weights(session, instance_graph(instance));
    return true;
}

static bool check_file(struct session *session, const char *word, bool names) {
    struct model_name name;
    if (!session_load(session, word, &name))
        return false;
    bool ok = true;
    if (name.model || frontend_model_count(session->frontend, name.path) == 0)
        return frontend_model_count(session->frontend, name.path) == 0 || check_model(session, &name, names);
    for (int i = 0; i < frontend_model_count(session->frontend, name.path); i++) {
        name.model = frontend_model_name(session->frontend, name.path, i);
        ok = check_model(session, &name, names) && ok;
    }
    return ok;
}

enum exit_status command_check(struct invocation *invocation) {
    struct session session;
    if (invocation->words.count == 0)
        return usage_error(invocation, "which model?");
    if (!session_open(&session, invocation))
        return EXIT_USAGE;
    bool ok = true;
    for (int i = 0; i < invocation->words.count; i++) {
        bool fine = check_file(&session, invocation->words.at[i], option_given(invocation, OPT_names));
        if (fine && !session.quiet && !option_given(invocation, OPT_names))
            printf("%s: ok\n", invocation->words.at[i]);
        ok = fine && ok;
    }
    return session_finish(&session, ok);
}
