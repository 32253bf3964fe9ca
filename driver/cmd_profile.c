/* driver/cmd_profile.c: weft profile: where the time of an entry goes. */
#include "driver/profile.h"
#include "runtime/file.h"

#include <string.h>

static const struct run_count wanted = {5, 1.0};
enum { SHOWN_KERNELS = 24 };

struct profiling {
    struct measured m;
    struct profile profile;
};

static void add_run(void *context) {
    struct profiling *p = context;
    profile_add(&p->profile, p->m.log);
}

static void print_kernels(const struct profile *p) {
    printf("  %9s %6s %6s %8s %8s  %-34s %s\n", "ms", "%", "calls", "GFLOP/s", "GB/s", "kernel", "line");
    for (int i = 0; i < p->kernels.count && i < SHOWN_KERNELS; i++) {
        const struct profile_kernel *k = &p->kernels.at[i];
        double each = k->seconds / (double)k->calls;
        printf("  %9.3f %6.1f %6lld %8.1f %8.1f  %-34.34s %s\n", 1e3 * k->seconds / p->runs,
               100 * k->seconds / p->seconds, (long long)(k->calls / p->runs), 1e-9 * k->cost.flops / each,
               1e-9 * k->cost.bytes / each, k->name, k->line);
    }
    double rest = 0;
    for (int i = SHOWN_KERNELS; i < p->kernels.count; i++)
        rest += p->kernels.at[i].seconds;
    if (p->kernels.count > SHOWN_KERNELS)
        printf("  %9.3f %6.1f  in %d more kernels\n", 1e3 * rest / p->runs, 100 * rest / p->seconds,
               p->kernels.count - SHOWN_KERNELS);
}

static void print_lines(const struct profile *p) {
    printf("\n  %9s %6s %8s  %s\n", "ms", "%", "kernels", "line");
    for (int i = 0; i < p->lines.count; i++)
        printf("  %9.3f %6.1f %8d  %s\n", 1e3 * p->lines.at[i].seconds / p->runs,
               100 * p->lines.at[i].seconds / p->seconds, p->lines.at[i].kernels, p->lines.at[i].line);
}

static void print_text(struct profiling *p, double mean) {
    const struct profile *f = &p->profile;
    int width = weft_pool_exec(p->m.session.pool)->width;
    printf("%s, %d thread%s: %.3f ms, of which %.3f in kernels; the mean of %d runs\n\n",
           measured_name(&p->m), width, width == 1 ? "" : "s", 1e3 * mean, 1e3 * f->seconds / f->runs,
           f->runs);
    print_kernels(f);
    print_lines(f);
    if (f->lost)
        printf("\n  %lld events found no room in the log: the figures are of the first %lld of each run\n",
               (long long)f->lost, (long long)p->m.log->capacity);
}

static bool write_text(struct session *session, const char *path, const char *text) {
    struct weft_error error;
    return !path || weft_file_write_whole(path, text, strlen(text), &error) ||
           session_fail(session, E_FILE, "%s", error.message);
}

static bool profile(struct profiling *p, struct invocation *invocation) {
    double sum = 0;
    int runs;
    if (!measured_prepare(&p->m))
        return false;
    profile_init(&p->profile, &p->m);
    const double *times = measured_calls(&p->m, wanted, add_run, p, &runs);
    if (!times)
        return false;
    for (int i = 0; i < runs; i++)
        sum += times[i];
    profile_finish(&p->profile);
    if (p->m.session.json)
        puts(profile_json(&p->profile));
    else if (!p->m.session.quiet)
        print_text(p, sum / runs);
    const char *trace = option_text(invocation, OPT_trace, NULL),
               *html = option_text(invocation, OPT_html, NULL);
    return write_text(&p->m.session, trace, trace ? profile_trace(&p->profile, p->m.log) : NULL) &&
           write_text(&p->m.session, html, html ? profile_page(&p->profile, measured_name(&p->m)) : NULL);
}

enum exit_status command_profile(struct invocation *invocation) {
    struct profiling p = {0};
    enum exit_status status = measured_open(&p.m, invocation, true);
    if (status != EXIT_OK)
        return status;
    bool ok = profile(&p, invocation);
    measured_close(&p.m);
    return session_finish(&p.m.session, ok);
}
