#!/usr/bin/env bash
# The report's page in headless Chromium: no console message, no request, nothing wider than a phone, tables that sort. Slow label: Chromium is
# not among the packages that ./check installs (Debian: apt-get install chromium). With KEEP=DIR the screenshots stay there.
# usage: report_browser.sh GRIDFOLD SOURCE_DIR
set -euo pipefail
gridfold=$1 source=$2
browser=$(command -v chromium || command -v chromium-browser || true)
[ -n "$browser" ] || { echo "skipped: there is no chromium"; exit 77; }
work=$(mktemp -d /tmp/gridfold-browser-XXXXXX)
trap 'rm -rf "$work"' EXIT
cd "$work"
fail() { echo "FAILED: $*" >&2; exit 1; }

# open PAGE WIDTH,HEIGHT NAME [OPTION...]: the DOM after scripts in NAME.dom, console in NAME.log, requests in NAME.net, a picture in NAME.png.
open() {
    local page=$1 size=$2 name=$3
    shift 3
    local options=(--headless --no-sandbox --disable-gpu --hide-scrollbars --no-first-run --disable-background-networking --disable-component-update
        --disable-sync --disable-default-apps --disable-extensions --user-data-dir="$work/profile-$name" --enable-logging=stderr --log-level=0 --v=0 --window-size="$size"
        --virtual-time-budget=3000 "$@")
    timeout 120 "$browser" "${options[@]}" --log-net-log="$work/$name.net" --net-log-capture-mode=Everything --dump-dom "file://$page" >"$name.dom" 2>"$name.log" ||
        fail "chromium on $name: $(tail -3 "$name.log")"
    timeout 120 "$browser" "${options[@]}" --screenshot="$work/$name.png" "file://$page" >/dev/null 2>&1 || fail "no screenshot of $name"
}
console() { grep -c 'CONSOLE' "$1.log" || true; }
# Requests that the page made: all but of files and what the browser asks its maker for by itself (updates, dictionaries).
requests() {
    grep -oE '"url":"[a-z]+://[^"]*"' "$1.net" | grep -vE '"(file|chrome|devtools|about|chrome-extension)://|"https?://[a-z0-9.]*(google|googleapis|gvt1)[.]com/' |
        sort -u || true
}

"$gridfold" report "$source/tests/results/data/run" --out small >/dev/null
"$gridfold" report "$source/tests/results/data/phase1_grids.csv" "$source/tests/results/data/phase2_folds.csv" --baseline baseline \
    --candidate optimized --out published >/dev/null
grep -q '<svg' small/report.html || fail "the page has no plots (is gnuplot installed?)"

# What is looked for is found when it is there.
printf '<!DOCTYPE html><title>x</title><img src="http://127.0.0.1:9/x.png"><script>console.error("seen")</script>' >bad.html
open "$work/bad.html" 800,600 bad
[ "$(console bad)" -ge 1 ] || fail "a console error goes unnoticed"
[ -n "$(requests bad)" ] || fail "a request goes unnoticed"

# A click sorts, and says how wide the page is.
probe='<script>const head=[...document.querySelectorAll("th")].find(h=>h.textContent==="Best IoU");head.click();head.click();document.title="width "+document.documentElement.scrollWidth+" of "+innerWidth+" first "+head.closest("table").tBodies[0].rows[0].textContent</script>'
for name in small published; do
    page=$work/$name/report.html
    for size in 1280,2400 390,2400; do
        shot=$name-${size%,*}
        open "$page" "$size" "$shot"
        [ "$(console "$shot")" -eq 0 ] || fail "$shot: $(grep CONSOLE "$shot.log")"
        [ -z "$(requests "$shot")" ] || fail "$shot asks for $(requests "$shot")"
    done
    open "$page" 1280,2400 "$name-dark" --blink-settings=preferredColorScheme=0
    [ "$(console "$name-dark")" -eq 0 ] || fail "dark: $(grep CONSOLE "$name-dark.log")"
    { cat "$page"; echo "$probe"; } >"$name-probe.html"
    open "$work/$name-probe.html" 500,900 "$name-probe"
    title=$(grep -oE '<title>[^<]*' "$name-probe.dom" | tail -1)
    [[ $title =~ width\ ([0-9]+)\ of\ ([0-9]+) ]] || fail "$name: no title from the probe: $title"
    [ "${BASH_REMATCH[1]}" -le "${BASH_REMATCH[2]}" ] || fail "$name is wider than its window: $title"
    [[ $title == *"first 0.01"* ]] || fail "$name: the largest best IoU did not come first: $title"
done
[ -z "${KEEP:-}" ] || { mkdir -p "$KEEP"; cp ./*.png "$KEEP"; }
echo "page in $("$browser" --version | cut -d' ' -f1,2): no console message, no request, $(find . -maxdepth 1 -name '*.png' | wc -l) screenshots"
