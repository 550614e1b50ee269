// Opens each report as a person would, on a telephone, at a desk and on paper: page.mjs FOLDER PAGE.html...
// Screenshots of what was looked at stay in FOLDER.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";
import { measure, misplaced } from "./measure.mjs";

const SMALLEST_TEXT = 14;
/** What a finger hits without looking, in CSS pixels. */
const SMALLEST_CONTROL = 44;
/** WCAG 2, level AA. */
const CONTRAST = 4.5;
/** Lines may touch where a font is taller than its line. */
const TOUCHING = 2;
/** Five marks on one letter; what is drawn of them depends on the font. */
const PILED = /[\p{Mn}\p{Me}]{5}/u;
const ORDER = ["In use", "May be reached", "Use unknown", "Not used", "Hidden by policy"];

const telephone = { isMobile: true, hasTouch: true, deviceScaleFactor: 3 };
const places = {
  telephone: { ...telephone, viewport: { width: 360, height: 740 } },
  "small telephone": { ...telephone, viewport: { width: 320, height: 568 } },
  desk: { viewport: { width: 1280, height: 800 } },
};
/** Of DIN A4 between margins, at 96 dots an inch. */
const paper = { viewport: { width: 718, height: 1046 } };

const [folder, ...pages] = process.argv.slice(2);
const flags = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
// The browser's own sandbox needs rights that root in a container has not.
const sandbox = process.getuid() === 0 ? ["--no-sandbox"] : [];
const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: [...flags, ...sandbox] });

let [checks, failed] = [0, 0];
async function check(what, work) {
  checks += 1;
  try {
    await work();
    console.log(`ok      ${what}`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED  ${what}\n        ${error.message.replaceAll("\n", "\n        ").slice(0, 2000)}`);
  }
}

/** Opens `file` without a network, and calls `look`; nothing may have been asked for but the file, and nothing complained. */
async function open(file, place, colorScheme, look) {
  const context = await browser.newContext({ ...place, colorScheme, offline: true });
  context.setDefaultTimeout(10_000);
  const page = await context.newPage();
  const address = pathToFileURL(file).href;
  const [asked, complaints] = [[], []];
  page.on("request", (request) => asked.push(request.url()));
  page.on("console", (message) => complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("dialog", (dialog) => complaints.push(dialog.message()));
  try {
    await page.goto(address);
    await look(page);
    assert.deepEqual(asked, [address], "only the file is asked for");
    assert.deepEqual(complaints, [], "the browser has nothing to complain of");
    assert.match(await page.title(), /^Security report: (pass|warn|blocked)$/);
  } finally {
    await context.close();
  }
}

const told = (lines) => lines.slice(0, 5).map((line) => `${JSON.stringify(line.text)} at ${Math.round(line.left)},${Math.round(line.top)}`).join("; ");
const none = (lines, what) => assert.ok(lines.length === 0, `${what}: ${lines.length} lines: ${told(lines)}`);

/** Lines that lie on another one, by more than fonts do. */
function overlapping(lines) {
  const sorted = lines.toSorted((a, b) => a.top - b.top);
  const apart = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) <= 1 || Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) <= TOUCHING;
  return sorted.filter((line, at) => {
    for (let next = at + 1; next < sorted.length && sorted[next].top < line.bottom; next += 1) {
      if (!apart(line, sorted[next])) return true;
    }
    return false;
  });
}

function readable(seen) {
  assert.ok(seen.excess <= 0, `the page is ${seen.excess} pixels wider than the window`);
  const { lines } = seen;
  none(lines.filter(({ size }) => size < SMALLEST_TEXT), `text smaller than ${SMALLEST_TEXT} pixels`);
  none(lines.filter(({ contrast }) => contrast < CONTRAST), `contrast below ${CONTRAST}`);
  const cut = ({ frame, ...line }) =>
    line.left < frame.left - 1 || line.right > frame.right + 1 || line.top < frame.top - 1 || line.bottom > frame.bottom + 1;
  none(lines.filter(cut), "text is cut");
  none(overlapping(lines), "text lies on other text");
}

/** Sections stand in the order of use, and the verdict before them, on the first screen. */
function ordered(seen, { viewport }) {
  const known = ORDER.filter((title) => seen.sections.includes(title));
  assert.deepEqual(seen.sections, known, "what is in use stands first");
  assert.ok(seen.verdict.top >= 0 && seen.verdict.bottom <= viewport.height, "the verdict is on the first screen");
}

function pressable(seen) {
  const small = seen.controls.filter(({ width, height }) => width < SMALLEST_CONTROL || height < SMALLEST_CONTROL);
  assert.deepEqual(small, [], `controls smaller than ${SMALLEST_CONTROL} pixels`);
}

/** What is folded opens at a touch, and at a key. */
async function unfold(page, touch) {
  const folded = page.locator("details:not([open]) > summary");
  for (let n = await folded.count(); n > 0; n -= 1) {
    const summary = folded.first();
    if (touch) await summary.tap();
    else await summary.press("Enter");
    assert.equal(await folded.count(), n - 1, "a folded section opens");
  }
}

/** The text of the page as it is printed by who has chosen nothing: without backgrounds, on A4. */
async function printed(page, to) {
  await page.pdf({ path: to, format: "A4", margin: { top: "1cm", bottom: "1cm", left: "1cm", right: "1cm" } });
  return execFileSync("pdftotext", ["-layout", to, "-"], { encoding: "utf8", maxBuffer: 1 << 28 });
}

for (const file of pages) {
  const name = path.basename(file, ".html");
  for (const [where, place] of Object.entries(places)) {
    for (const scheme of ["light", "dark"]) {
      await check(`${name}: ${where}, ${scheme}`, () =>
        open(file, place, scheme, async (page) => {
          await page.screenshot({ path: path.join(folder, `${name}-${where.replace(" ", "-")}-${scheme}.png`) });
          const seen = await page.evaluate(measure);
          assert.equal(seen.dark, scheme === "dark", "the page is as dark as it is asked to be");
          ordered(seen, place);
          readable(seen);
          pressable(seen);
          await unfold(page, place.hasTouch);
          readable(await page.evaluate(measure));
          assert.deepEqual(await page.evaluate(misplaced), [], "words stand in their order");
          const text = await page.locator("body").textContent();
          assert.doesNotMatch(text, PILED, "no letter has more accents than one of any language");
        }));
    }
  }
  for (const scheme of ["light", "dark"]) {
    await check(`${name}: paper, ${scheme}`, () =>
      open(file, paper, scheme, async (page) => {
        await page.emulateMedia({ media: "print" });
        readable(await page.evaluate(measure));
        const text = await printed(page, path.join(folder, `${name}-${scheme}.pdf`));
        const names = await page.locator("article .name").allTextContents();
        const missing = names.map((name) => name.match(/^[A-Z]+(-\d+)+/)[0]).filter((name) => !text.includes(name));
        assert.deepEqual(missing, [], "every finding is printed, those that are folded on the screen too");
      }));
  }
}
await browser.close();
console.log(`${pages.length} pages, ${checks} checks, ${failed} failed`);
process.exit(failed > 0 ? 1 : 0);
