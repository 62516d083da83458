// The HTML page of a document: everything in one file that asks for no other.
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "model/base/file.h"
#include "results/page_parts.h"
#include "results/table_internal.h"

static void write_html_text(FILE *out, const char *text) {
    for (; *text; text++) {
        if (strncmp(text, "+-", 2) == 0) {
            fputs("\xC2\xB1", out); // plus-minus sign
            text++;
            continue;
        }
        switch (*text) {
        case '&':
            fputs("&amp;", out);
            break;
        case '<':
            fputs("&lt;", out);
            break;
        case '>':
            fputs("&gt;", out);
            break;
        case '"':
            fputs("&quot;", out);
            break;
        default:
            putc(*text, out);
        }
    }
}

// Tables

// The number that the column is sorted by, where the cell has one.
static void write_sort_key(FILE *out, const struct cell *cell) {
    const char *key = cell->csv ? cell->csv : cell->text ? cell->text : "";
    char *end;
    (void)strtod(key, &end);
    if (*key && !*end) {
        fputs(" data-v=\"", out);
        write_html_text(out, key);
        fputs("\"", out);
    }
}

static void write_html_row(const table *t, size_t row, FILE *out) {
    fputs(t->flags[row] & TABLE_BOLD ? "<tr class=\"b\">" : "<tr>", out);
    for (size_t column = 0; column < t->shown; column++) {
        fprintf(out, "<td%s", t->column[column].alignment == TABLE_RIGHT ? " class=\"r\"" : "");
        write_sort_key(out, &t->cell[row * t->columns + column]);
        fputs(">", out);
        write_html_text(out, table_text(t, row, column));
        fputs("</td>", out);
    }
    fputs("</tr>\n", out);
}

static void write_html_table(const table *t, FILE *out) {
    if (t->title && *t->title) {
        fputs("<h3>", out);
        write_html_text(out, t->title);
        fputs("</h3>\n", out);
    }
    if (t->shown > 0) {
        fputs("<div class=\"scroll\" tabindex=\"0\"><table><thead><tr>", out);
        for (size_t column = 0; column < t->shown; column++) {
            fprintf(out, "<th scope=\"col\"%s>", t->column[column].alignment == TABLE_RIGHT ? " class=\"r\"" : "");
            write_html_text(out, t->column[column].header);
            fputs("</th>", out);
        }
        fputs("</tr></thead><tbody>\n", out);
        for (size_t row = 0; row < t->rows; row++)
            if (!(t->flags[row] & TABLE_CSV_ONLY))
                write_html_row(t, row, out);
        fputs("</tbody></table></div>\n", out);
    }
    for (size_t i = 0; i < t->notes; i++) {
        fputs("<p class=\"note\">", out);
        write_html_text(out, t->note[i]);
        fputs("</p>\n", out);
    }
}

// Pictures

// Writes `text` without what stands between every `begin` and the next `end`.
static void write_without(FILE *out, const char *text, const char *begin, const char *end) {
    for (const char *from; (from = strstr(text, begin));) {
        fwrite(text, 1, (size_t)(from - text), out);
        const char *after = strstr(from, end);
        if (!after)
            return;
        text = after + strlen(end);
    }
    fputs(text, out);
}

// A copy without gnuplot's own titles (they would show as tooltips); malloc'ed.
static char *without_titles(const char *text) {
    char *copy = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&copy, &bytes);
    if (!out)
        return NULL;
    write_without(out, text, "<title>", "</title>");
    return fclose(out) == 0 ? copy : NULL;
}

// Never wider than it was drawn, nor so narrow that its texts cannot be read: then it scrolls.
static void write_widths(FILE *out, const char *svg) {
    enum { LEAST = 560 };
    const char *box = strstr(svg, "viewBox=\"0 0 ");
    long width = box ? strtol(box + strlen("viewBox=\"0 0 "), NULL, 10) : 0;
    if (width > 0 && width < 10000)
        fprintf(out, " style=\"max-width:%ldpx;min-width:%ldpx\"", width, width < LEAST ? width : LEAST);
}

// The symbols that the pictures share stand in the page once.
static enum status write_svg(const struct block *b, const char *file, bool *symbols, FILE *out, struct error *err) {
    char *text = NULL, *plain = NULL;
    TRY(file_read(file, &text, NULL, err));
    const char *svg = strstr(text, "<svg");
    if (svg)
        plain = without_titles(svg + strlen("<svg"));
    if (plain) {
        fputs("<figure><div class=\"scroll\" tabindex=\"0\"><svg role=\"img\" aria-label=\"", out);
        write_html_text(out, b->text);
        fputs("\"", out);
        write_widths(out, plain);
        if (*symbols)
            write_without(out, plain, "<defs>", "</defs>");
        else
            fputs(plain, out);
        *symbols = true;
        fputs("</div>", out);
    }
    free(text);
    free(plain);
    if (!svg)
        return error_set(err, STATUS_FORMAT, "%s: no SVG", file);
    return plain ? STATUS_OK : error_memory(err, file);
}

static void write_base64(FILE *out, const unsigned char *data, size_t bytes) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < bytes; i += 3) {
        unsigned three = (unsigned)data[i] << 16;
        if (i + 1 < bytes)
            three |= (unsigned)data[i + 1] << 8;
        if (i + 2 < bytes)
            three |= data[i + 2];
        putc(digits[three >> 18], out);
        putc(digits[three >> 12 & 63], out);
        putc(i + 1 < bytes ? digits[three >> 6 & 63] : '=', out);
        putc(i + 2 < bytes ? digits[three & 63] : '=', out);
    }
}

static enum status write_png(const struct block *b, const char *file, FILE *out, struct error *err) {
    char *data;
    size_t bytes;
    TRY(file_read(file, &data, &bytes, err));
    fputs("<figure><div class=\"scroll\" tabindex=\"0\"><img alt=\"", out);
    write_html_text(out, b->text);
    fputs("\" src=\"data:image/png;base64,", out);
    write_base64(out, (const unsigned char *)data, bytes);
    fputs("\"></div>", out);
    free(data);
    return STATUS_OK;
}

static enum status write_html_figure(const struct block *b, const char *folder, bool *symbols, FILE *out,
                                     struct error *err) {
    char file[PATH_SIZE];
    bool svg = document_has_picture(folder, b->path, "svg");
    if (!svg && !document_has_picture(folder, b->path, "png"))
        return STATUS_OK;
    if (snprintf(file, sizeof file, "%s/%s.%s", folder, b->path, svg ? "svg" : "png") >= (int)sizeof file)
        return error_set(err, STATUS_INVALID, "path too long: %s/%s", folder, b->path);
    TRY(svg ? write_svg(b, file, symbols, out, err) : write_png(b, file, out, err));
    fputs("<figcaption>", out);
    write_html_text(out, b->text);
    fputs("</figcaption></figure>\n", out);
    return STATUS_OK;
}

// The page

static void write_contents(const document *doc, FILE *out) {
    fputs("<nav><ul>\n", out);
    for (size_t i = 0; i < doc->blocks; i++) {
        if (doc->block[i].kind != BLOCK_HEADING || doc->block[i].level != 2)
            continue;
        fprintf(out, "<li><a href=\"#s%zu\">", i);
        write_html_text(out, doc->block[i].text);
        fputs("</a></li>\n", out);
    }
    fputs("</ul></nav>\n", out);
}

static void write_html_heading(const document *doc, size_t index, FILE *out) {
    const struct block *b = &doc->block[index];
    fprintf(out, "<h%d id=\"s%zu\">", b->level, index);
    write_html_text(out, b->text);
    fprintf(out, "</h%d>\n", b->level);
    if (b->level == 1)
        write_contents(doc, out);
}

static void write_element(FILE *out, const char *begin, const char *text, const char *end) {
    fputs(begin, out);
    write_html_text(out, text);
    fputs(end, out);
}

static enum status write_body(const document *doc, const char *folder, FILE *out, struct error *err) {
    bool symbols = false;
    for (size_t i = 0; i < doc->blocks; i++) {
        const struct block *b = &doc->block[i];
        switch (b->kind) {
        case BLOCK_HEADING:
            write_html_heading(doc, i, out);
            break;
        case BLOCK_PARAGRAPH:
            write_element(out, "<p>", b->text, "</p>\n");
            break;
        case BLOCK_TABLE:
            write_html_table(b->table, out);
            break;
        case BLOCK_FIGURE:
            TRY(write_html_figure(b, folder, &symbols, out, err));
            break;
        case BLOCK_DETAILS:
            write_element(out, "<details><summary>", b->text, "</summary>\n");
            break;
        case BLOCK_DETAILS_END:
            fputs("</details>\n", out);
            break;
        }
    }
    return STATUS_OK;
}

static const char *title_of(const document *doc) {
    for (size_t i = 0; i < doc->blocks; i++)
        if (doc->block[i].kind == BLOCK_HEADING)
            return doc->block[i].text;
    return "Report";
}

enum status document_write_html(const document *doc, const char *folder, FILE *out, struct error *err) {
    TRY(document_check(doc, err));
    fputs(page_head, out);
    write_element(out, "<title>", title_of(doc), "</title>\n");
    fprintf(out, "<style>%s</style>\n</head>\n<body>\n<main>\n", page_style);
    TRY(write_body(doc, folder, out, err));
    fprintf(out, "</main>\n<script>%s</script>\n</body>\n</html>\n", page_script);
    return ferror(out) ? error_set(err, STATUS_IO, "cannot write the page") : STATUS_OK;
}
