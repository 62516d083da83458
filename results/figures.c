#include "results/figures.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "model/base/file.h"
#include "model/base/utf8.h"

extern char **environ;

enum { NAME_SIZE = 96 };

const char *const figure_colour[FIGURE_COLOURS] = {"#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"};

struct figure {
    char path[NAME_SIZE]; // plots/NAME
    int width, height;
    char *script; // or, where `copied` is set, the bytes of a PNG
    size_t bytes;
    bool copied;
};

struct figures {
    struct figure **figure; // each on its own, so that paths stay where they are
    size_t count;
    FILE *open; // of the last figure
    bool failed;
};

figures *figures_create(void) {
    return calloc(1, sizeof(figures));
}

static void end_script(figures *f) {
    if (f->open && fclose(f->open) != 0)
        f->failed = true;
    f->open = NULL;
}

void figures_destroy(figures *f) {
    if (!f)
        return;
    end_script(f);
    for (size_t i = 0; i < f->count; i++) {
        free(f->figure[i]->script);
        free(f->figure[i]);
    }
    free(f->figure);
    free(f);
}

static bool is_taken(const figures *f, const char *path) {
    for (size_t i = 0; i < f->count; i++)
        if (strcmp(f->figure[i]->path, path) == 0)
            return true;
    return false;
}

static void choose_path(const figures *f, const char *name, char path[NAME_SIZE]) {
    char stem[NAME_SIZE - 24];
    snprintf(stem, sizeof stem, "%s", name);
    for (char *c = stem; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr("._-=+", *c))
            *c = '-';
    snprintf(path, NAME_SIZE, "plots/%s", stem);
    for (int n = 2; is_taken(f, path); n++)
        snprintf(path, NAME_SIZE, "plots/%s_%d", stem, n);
}

static void write_preamble(FILE *out) {
    fputs("set encoding utf8\n"
          "set datafile missing 'nan'\n"
          "set border 3 lw 0.8 lc rgb '#808080'\n"
          "set tics nomirror out scale 0.6 tc rgb 'black'\n"
          "if (!exists('small')) small = ',8'\n"
          "set grid ytics lt 1 lw 0.6 lc rgb '#b0808080'\n"
          "unset key\n",
          out);
}

// A new figure at the end; NULL: out of memory.
static struct figure *add_figure(figures *f, const char *name) {
    end_script(f);
    struct figure **larger = realloc(f->figure, (f->count + 1) * sizeof(struct figure *));
    struct figure *figure = calloc(1, sizeof *figure);
    if (larger)
        f->figure = larger;
    if (!larger || !figure) {
        free(figure);
        f->failed = true;
        return NULL;
    }
    choose_path(f, name, figure->path);
    f->figure[f->count++] = figure;
    return figure;
}

FILE *figures_begin(figures *f, const char *name, int width, int height, const char **path) {
    struct figure *figure = add_figure(f, name);
    if (!figure)
        return NULL;
    figure->width = width;
    figure->height = height;
    f->open = open_memstream(&figure->script, &figure->bytes);
    if (!f->open) {
        f->failed = true;
        f->count--;
        free(figure);
        return NULL;
    }
    *path = figure->path;
    write_preamble(f->open);
    return f->open;
}

const char *figures_take(figures *f, const char *name, const char *png) {
    struct error err;
    char *bytes;
    size_t count;
    if (file_read(png, &bytes, &count, &err) != STATUS_OK)
        return NULL; // what cannot be read is not shown
    struct figure *figure = add_figure(f, name);
    if (!figure) {
        free(bytes);
        return NULL;
    }
    figure->script = bytes;
    figure->bytes = count;
    figure->copied = true;
    return figure->path;
}

// Single quotes: nothing in them is special to gnuplot but the quote itself, whose doubled form it does not take at the
// beginning of a string: an apostrophe stands for it. Backquotes would run a command elsewhere.
void figures_quote_short(FILE *out, const char *text, int characters) {
    putc('\'', out);
    for (int used = 0; *text && used < characters; used++) {
        size_t bytes = utf8_character(text);
        if (used + 1 == characters && text[bytes ? bytes : 1]) { // more would follow
            fputs("\xE2\x80\xA6", out);
            break;
        }
        if (bytes == 0)
            putc('?', out);
        else if (*text == '\'')
            fputs("\xE2\x80\x99", out);
        else if ((unsigned char)*text < ' ' || *text == '`')
            putc(' ', out);
        else
            fwrite(text, 1, bytes, out);
        text += bytes ? bytes : 1;
    }
    putc('\'', out);
}

void figures_quote(FILE *out, const char *text) {
    figures_quote_short(out, text, 4096);
}

void figures_number(FILE *out, double value) {
    if (isfinite(value))
        fprintf(out, " %.9g", value);
    else
        fputs(" nan", out);
}

enum { LEGEND_SAMPLE = 28, LEGEND_GAP = 6, LEGEND_BETWEEN = 26, LEGEND_CHARACTER = 7, LEGEND_ROW = 16 };

static double legend_width(const struct legend *e) {
    return LEGEND_SAMPLE + LEGEND_GAP + LEGEND_CHARACTER * (double)strlen(e->text) + LEGEND_BETWEEN;
}

static void write_legend_entry(FILE *out, const struct legend *e, double x, double y, int width) {
    if (e->kind == LEGEND_POINT)
        fprintf(out, "set label '' at screen %.4f, screen %.4f point pt 7 ps 0.8 lc rgb '%s'\n",
                (x + LEGEND_SAMPLE - 8) / width, y, e->colour);
    else
        fprintf(out,
                "set arrow from screen %.4f, screen %.4f to screen %.4f, screen %.4f nohead lw %s dt %s lc rgb '%s'\n",
                x / width, y, (x + LEGEND_SAMPLE) / width, y, e->kind == LEGEND_THICK ? "3" : "2",
                e->kind == LEGEND_DASHES ? "(8,5)" : "1", e->colour);
    fputs("set label ", out);
    figures_quote(out, e->text);
    fprintf(out, " at screen %.4f, screen %.4f left\n", (x + LEGEND_SAMPLE + LEGEND_GAP) / width, y);
}

void figures_legend(FILE *out, int width, int height, const struct legend *entry, size_t entries) {
    double y = 1 - 13.0 / height;
    for (size_t first = 0, end; first < entries; first = end, y -= (double)LEGEND_ROW / height) {
        double total = -LEGEND_BETWEEN;
        for (end = first; end < entries && (end == first || total + legend_width(&entry[end]) <= width); end++)
            total += legend_width(&entry[end]);
        double x = (width - total) / 2;
        for (size_t i = first; i < end; i++) {
            write_legend_entry(out, &entry[i], x, y, width);
            x += legend_width(&entry[i]);
        }
    }
}

// Drawing

static bool is_ours(const char *name) {
    const char *dot = strrchr(name, '.');
    return dot && (strcmp(dot, ".gp") == 0 || strcmp(dot, ".svg") == 0 || strcmp(dot, ".png") == 0);
}

// Pictures of an earlier report would pass for this one's.
static void remove_old(const char *plots) {
    DIR *folder = opendir(plots);
    if (!folder)
        return;
    for (struct dirent *entry; (entry = readdir(folder));)
        if (is_ours(entry->d_name))
            unlinkat(dirfd(folder), entry->d_name, 0);
    closedir(folder);
}

static enum status write_scripts(const figures *f, const char *folder, struct error *err) {
    char file[PATH_SIZE];
    for (size_t i = 0; i < f->count; i++) {
        const char *extension = f->figure[i]->copied ? "png" : "gp";
        if (snprintf(file, sizeof file, "%s/%s.%s", folder, f->figure[i]->path, extension) >= (int)sizeof file)
            return error_set(err, STATUS_INVALID, "path too long: %s/%s", folder, f->figure[i]->path);
        TRY(file_write(file, f->figure[i]->script, f->figure[i]->bytes, err));
    }
    return STATUS_OK;
}

// What gnuplot reads: every script once a terminal.
static void write_driver(const figures *f, FILE *out) {
    for (size_t i = 0; i < f->count; i++) {
        const struct figure *g = f->figure[i];
        if (g->copied)
            continue;
        fprintf(
            out,
            "reset session\nset term svg size %d,%d dynamic noenhanced font 'sans-serif,12' name 'f%zu'\nsmall = ',10'\n"
            "set output '%s.svg'\nload '%s.gp'\nunset output\n",
            g->width, g->height, i, g->path, g->path);
        fprintf(
            out,
            "reset session\nset term pngcairo size %d,%d noenhanced font 'sans,9' fontscale 1.0 background '#ffffff'\nsmall = ',7.5'\n"
            "set output '%s.png'\nload '%s.gp'\nunset output\n",
            g->width, g->height, g->path, g->path);
    }
}

struct gnuplot {
    pid_t pid;
    int input, errors; // pipes to and from it
};

static int spawn_gnuplot(const char *folder, struct gnuplot *g) {
    static char program[] = "gnuplot", no_settings[] = "-d";
    char *argv[] = {program, no_settings, NULL};
    int in[2] = {-1, -1}, out[2] = {-1, -1};
    if (pipe2(in, O_CLOEXEC) != 0)
        return errno;
    if (pipe2(out, O_CLOEXEC) != 0) {
        close(in[0]);
        close(in[1]);
        return errno;
    }
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addchdir_np(&actions, folder);
    posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, out[1], STDERR_FILENO);
    int failure = posix_spawnp(&g->pid, program, &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(in[0]);
    close(out[1]);
    g->input = in[1];
    g->errors = out[0];
    if (failure) {
        close(g->input);
        close(g->errors);
    }
    return failure;
}

// The last line of what it complains of, which names the place; all is read, so that it never waits for a reader.
static void read_complaint(int errors, char *line, size_t size) {
    FILE *in = fdopen(errors, "r");
    char text[512];
    line[0] = 0;
    if (!in) {
        close(errors);
        return;
    }
    while (fgets(text, sizeof text, in)) {
        text[strcspn(text, "\n")] = 0;
        if (text[strspn(text, " \t^")])
            snprintf(line, size, "%.*s", (int)size - 1, text);
    }
    fclose(in);
}

// Feeds it from a child-safe stream: a gnuplot that dies must not kill this process with SIGPIPE.
static void feed(const figures *f, int input) {
    struct sigaction ignore = {.sa_handler = SIG_IGN}, before;
    sigaction(SIGPIPE, &ignore, &before);
    FILE *out = fdopen(input, "w");
    if (out) {
        write_driver(f, out);
        fclose(out);
    } else {
        close(input);
    }
    sigaction(SIGPIPE, &before, NULL);
}

static char *line_of(const char *format, const char *a, const char *b) {
    char *text = NULL;
    return asprintf(&text, format, a, b) < 0 ? NULL : text;
}

static bool all_drawn(const figures *f, const char *folder) {
    char file[PATH_SIZE];
    for (size_t i = 0; i < f->count; i++)
        if (snprintf(file, sizeof file, "%s/%s.png", folder, f->figure[i]->path) >= (int)sizeof file ||
            !file_exists(file))
            return false;
    return true;
}

static char *run_gnuplot(const figures *f, const char *folder) {
    struct gnuplot g = {.pid = -1, .input = -1, .errors = -1};
    int failure = spawn_gnuplot(folder, &g);
    if (failure == ENOENT)
        return line_of("gnuplot is not installed (Debian: %s): the report has no plots%s.",
                       "apt-get install gnuplot-nox", "");
    if (failure)
        return line_of("gnuplot cannot be started (%s): the report has no plots%s.", strerror(failure), "");
    char complaint[256] = "";
    int status = 0;
    feed(f, g.input);
    read_complaint(g.errors, complaint, sizeof complaint);
    while (waitpid(g.pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && all_drawn(f, folder))
        return NULL;
    return line_of("gnuplot failed (%s): plots are missing%s.", *complaint ? complaint : "no reason given", "");
}

static bool has_scripts(const figures *f) {
    for (size_t i = 0; i < f->count; i++)
        if (!f->figure[i]->copied)
            return true;
    return false;
}

enum status figures_draw(figures *f, const char *folder, char **notice, struct error *err) {
    char plots[PATH_SIZE] = "";
    *notice = NULL;
    end_script(f);
    if (f->failed)
        return error_memory(err, "plots");
    TRY(path_join(plots, folder, "plots", err));
    remove_old(plots);
    if (f->count == 0)
        return STATUS_OK;
    TRY(file_make_directories(plots, err));
    TRY(write_scripts(f, folder, err));
    if (has_scripts(f))
        *notice = run_gnuplot(f, folder);
    return STATUS_OK;
}
