"""Opens each page of the built site in a headless Chromium, wide and narrow, light and dark by turns: nothing is
wider than the screen, and no request leaves the page. Writes pictures. usage: look.py SITE FOLDER"""

from __future__ import annotations

import sys
from pathlib import Path

from ingot_tools.pages import browser

# Width, height, scheme.
VIEWS = [(1280, 900, "light"), (390, 844, "dark")]
# Elements that stick out and are not in something that scrolls.
WIDER = """(() => {
  const width = document.documentElement.clientWidth, found = [];
  if (document.documentElement.scrollWidth > width) found.push('page of ' + document.documentElement.scrollWidth);
  for (const one of document.querySelectorAll('.md-content *')) {
    const box = one.getBoundingClientRect();
    if (box.right <= width + 1 || !box.width) continue;
    let up = one, scrolls = false;
    while ((up = up.parentElement)) scrolls ||= ['auto', 'scroll', 'hidden'].includes(getComputedStyle(up).overflowX);
    if (!scrolls) found.push(one.tagName + ' ' + one.textContent.trim().slice(0, 40));
  }
  return found.slice(0, 3);
})()"""


def main() -> int:
    site, folder = Path(sys.argv[1]), Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    path = browser.find()
    if not path:
        sys.exit("a Chromium is needed; $INGOT_CHROMIUM names one (scripts/tools test-pages installs it)")
    problems: list[str] = []
    pages = [page for page in sorted(site.rglob("*.html")) if page.name != "404.html"]
    chromium = browser.Browser(path)
    try:
        for page in pages:
            name = page.relative_to(site).as_posix().removesuffix(".html").replace("/", "-")
            for width, height, scheme in VIEWS:
                tab = browser.Tab(chromium, width, height, scheme, mobile=width < 600)
                tab.open(str(page))
                problems += [f"{name} at {width}: wider than the screen: {one}" for one in tab.value(WIDER)]
                problems += [f"{name} at {width}: {one}" for one in tab.complaints()
                             if one.startswith(("request: http", "exception", "failed"))]
                tall = min(tab.value("document.documentElement.scrollHeight"), 2400)
                tab.screenshot(str(folder / f"{name}-{width}.png"), {"x": 0, "y": 0, "width": width, "height": tall})
                tab.close()
    finally:
        chromium.close()
    for problem in problems:
        print(f"FAILED {problem}")
    print(f"{len(pages)} pages in {len(VIEWS)} views, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
