#include "results/page_parts.h"

// The policy makes the browser refuse every request, so that the page is the same offline.
const char page_head[] =
    "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; img-src data:\">\n"
    "<link rel=\"icon\" href=\"data:,\">\n";

// gnuplot paints texts and axes black: the page's own colour takes its place, so that they show on a dark ground too.
// A text in a box is drawn twice, first as its own box: the ground's colour around its letters takes that place.
const char page_style[] =
    "\n:root{color-scheme:light dark;--fg:#1b1f24;--bg:#fff;--muted:#59636e;--line:#d1d9e0;--head:#f6f8fa;--win:#e8f3fb;"
    "--link:#0550ae}\n"
    "@media(prefers-color-scheme:dark){:root{--fg:#e6e9ed;--bg:#14171c;--muted:#9aa4af;--line:#3a424c;--head:#1f242b;"
    "--win:#17324a;--link:#79b8ff}}\n"
    "*{box-sizing:border-box}\n"
    "body{margin:0;background:var(--bg);color:var(--fg);font:16px/1.5 system-ui,-apple-system,\"Segoe UI\",sans-serif}\n"
    "main{max-width:68rem;margin:0 auto;padding:1rem}\n"
    "h1{font-size:1.7rem;line-height:1.25;margin:.5rem 0 1rem}\n"
    "h2{font-size:1.35rem;margin:2.5rem 0 .75rem;padding-bottom:.3rem;border-bottom:1px solid var(--line)}\n"
    "h3{font-size:1.05rem;margin:1.75rem 0 .5rem}\n"
    "a{color:var(--link)}\nnav ul{margin:0;padding:0;list-style:none;display:flex;flex-wrap:wrap;gap:.25rem 1.25rem}\n"
    ".scroll{overflow-x:auto;max-width:100%}\n"
    "table{border-collapse:collapse;font-size:.875rem;font-variant-numeric:tabular-nums}\n"
    "th,td{padding:.3rem .65rem;text-align:left;vertical-align:top;border-bottom:1px solid var(--line)}\n"
    "td{max-width:30rem;overflow-wrap:break-word}td:not(.r):last-child{min-width:11rem}\n"
    "th{background:var(--head);white-space:nowrap;cursor:pointer}\n"
    "th[aria-sort=ascending]::after{content:\" \\2191\"}th[aria-sort=descending]::after{content:\" \\2193\"}\n"
    ".r{text-align:right;white-space:nowrap}tr.b td{font-weight:600;background:var(--win)}\n"
    ".note{color:var(--muted);font-size:.875rem;margin:.4rem 0;max-width:50rem}\n"
    "p{max-width:50rem}\nfigure{margin:1.25rem 0}\nfigcaption{color:var(--muted);font-size:.875rem;max-width:50rem}\n"
    "figure svg{display:block;width:100%;height:auto}\n"
    "figure img{display:block;max-width:100%;height:auto}\n"
    "svg [stroke=black],svg [stroke=\"rgb(  0,   0,   0)\"]{stroke:var(--fg)}svg [color=black]{color:var(--fg)}\n"
    "svg [fill=black],svg [fill=\"rgb(0,0,0)\"]{fill:var(--fg)}\n"
    "svg g[style*=textbox]{filter:none!important;stroke:var(--bg);stroke-width:5;stroke-linejoin:round}\n"
    "svg text{font-family:system-ui,-apple-system,\"Segoe UI\",\"DejaVu Sans\",sans-serif}\n"
    "details{margin:1rem 0}summary{cursor:pointer;color:var(--link)}\n"
    "@media print{th{cursor:auto}details{display:block}}\n";

// A last row of means stays the last.
const char page_script[] =
    "\nfor(const th of document.querySelectorAll('th'))th.addEventListener('click',()=>{\n"
    "  const head=th.parentNode,body=head.parentNode.nextElementSibling,column=[...head.children].indexOf(th);\n"
    "  const down=th.getAttribute('aria-sort')==='ascending';\n"
    "  for(const other of head.children)other.removeAttribute('aria-sort');\n"
    "  th.setAttribute('aria-sort',down?'descending':'ascending');\n"
    "  const key=row=>{const c=row.children[column];return c.dataset.v===undefined?c.textContent:+c.dataset.v};\n"
    "  const order=(a,b)=>typeof a==='number'&&typeof b==='number'?a-b:typeof a==='number'?-1:typeof b==='number'?1:"
    "a.localeCompare(b);\n"
    "  const last=body.lastElementChild,mean=last&&last.firstElementChild.textContent==='Mean'?last:null;\n"
    "  for(const row of [...body.children].filter(r=>r!==mean).sort((a,b)=>(down?-1:1)*order(key(a),key(b))))"
    "body.append(row);\n"
    "  if(mean)body.append(mean);\n});\n";
