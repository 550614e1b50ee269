// What a person sees of the page; runs within it.

/** Each line of text with its place, size and colours, what can be pressed, and how wide the page is. */
export function measure() {
  const channels = (colour) => {
    const [red, green, blue, alpha = 1] = colour.match(/[\d.]+/g).map(Number);
    return { red, green, blue, alpha };
  };
  const luminance = ({ red, green, blue }) => {
    const linear = [red, green, blue].map((channel) => channel / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  const paper = matchMedia("print").matches;
  const white = { red: 255, green: 255, blue: 255, alpha: 1 };
  /** The colour behind `element`. Paper is white, and printers leave out what does not insist on its colour. */
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const style = getComputedStyle(at);
      const colour = channels(style.backgroundColor);
      const printed = !paper || style.printColorAdjust === "exact";
      if (colour.alpha > 0 && printed) return colour;
    }
    return white;
  };
  /** What cuts off whatever lies beyond it: the window's width, and each element around that hides its overflow. */
  const frame = (element) => {
    const frame = { left: 0, right: document.documentElement.clientWidth, top: -Infinity, bottom: Infinity };
    for (let at = element; at; at = at.parentElement) {
      if (getComputedStyle(at).overflow === "visible" || at === document.documentElement) continue;
      const box = at.getBoundingClientRect();
      frame.left = Math.max(frame.left, box.left);
      frame.right = Math.min(frame.right, box.right);
      frame.top = Math.max(frame.top, box.top);
      frame.bottom = Math.min(frame.bottom, box.bottom);
    }
    return frame;
  };
  const box = ({ left, right, top, bottom }) => ({ left, right, top, bottom });

  const lines = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode;
    if (!node.data.trim()) continue;
    const element = node.parentElement;
    const style = getComputedStyle(element);
    const range = document.createRange();
    range.selectNodeContents(node);
    const [text, back] = [luminance(channels(style.color)), luminance(behind(element))];
    const piece = {
      text: node.data.trim().slice(0, 60),
      size: parseFloat(style.fontSize),
      contrast: (Math.max(text, back) + 0.05) / (Math.min(text, back) + 0.05),
      frame: frame(element),
    };
    for (const line of range.getClientRects()) {
      if (line.width > 0 && line.height > 0) lines.push({ ...piece, ...box(line) });
    }
  }
  const controls = [...document.querySelectorAll("summary, a, button, input, select, [tabindex]")].map((control) => ({
    text: control.textContent.trim(),
    width: control.getBoundingClientRect().width,
    height: control.getBoundingClientRect().height,
  }));
  const root = document.documentElement;
  return {
    lines,
    controls,
    dark: luminance(behind(document.body)) < 0.2,
    excess: Math.max(root.scrollWidth, document.body.scrollWidth) - window.innerWidth,
    sections: [...document.querySelectorAll("h2")].map((heading) => heading.firstChild.data.trim()),
    verdict: box(document.querySelector(".verdict").getBoundingClientRect()),
    findings: document.querySelectorAll("article").length,
  };
}

/** How far words stand out of their order, in each finding: after a name from right to left comes what is written after it. */
export function misplaced() {
  const wrong = [];
  const first = (node) => {
    const range = document.createRange();
    range.selectNodeContents(node);
    return range.getClientRects()[0];
  };
  const last = (node) => {
    const range = document.createRange();
    range.selectNodeContents(node);
    return [...range.getClientRects()].at(-1);
  };
  for (const paragraph of document.querySelectorAll(".fix, .more")) {
    const parts = [...paragraph.childNodes].filter((part) => part.textContent.trim());
    for (let at = 1; at < parts.length; at += 1) {
      const [before, after] = [last(parts[at - 1]), first(parts[at])];
      if (!before || !after) continue;
      const sameLine = Math.abs(before.top + before.bottom - after.top - after.bottom) < before.height;
      if (sameLine && after.left < before.right - 1) wrong.push(`${parts[at - 1].textContent} | ${parts[at].textContent}`.slice(0, 80));
    }
  }
  return wrong;
}
