// Writes reports that are hard to show, as DSSE envelopes nobody signed: reports.mjs FOLDER
import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";

const folder = process.argv[2];
const levels = ["Low", "Critical", "None", "Medium", "Unknown", "High", "Informational"];
const uses = ["unreachable", "unknown", "indirect", "runtime", "direct", "entrypoint"];
const statuses = ["Pass", "Blocked", "Warned", "Ignored", "RequiresVex", "Escalated"];
const endless = "x".repeat(300);
/** Every kind of text that breaks pages: without a place to break, right to left, turned, piled up, wide, markup. */
const names = [
  endless,
  `${"a-long-name-with-hyphens-".repeat(12)}`,
  "חבילה-ראשית",
  `${"حزمة".repeat(75)}`,
  "\u202eevil\u202c package",
  `Z${"\u0301\u0327\u0489".repeat(97)}algo`,
  `ที่เก็บ-ก${"\u0e49".repeat(97)}น`,
  `${"📦🔥👩‍👩‍👧‍👦🏳️‍🌈".repeat(30)}`,
  "</style></article><script>document.title='run'</script><img src=https://example.com/x.png onerror=alert(1)>",
  "two\nlines\tand\u00a0spaces" + "\u00a0no-break".repeat(30),
  "\u3000全角".repeat(75),
  "",
];

/** Members in the order of RFC 8785; numbers and strings are as JSON.stringify writes them. */
function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  return `{${Object.keys(value).sort().map((name) => `${JSON.stringify(name)}:${canonical(value[name])}`).join(",")}}`;
}

function envelope(body) {
  const reportId = `report-${createHash("sha256").update(canonical(body)).digest("hex").slice(0, 20)}`;
  const payload = Buffer.from(canonical({ ...body, reportId })).toString("base64");
  return JSON.stringify({ payloadType: "application/vnd.stellaops.report+json", payload, signatures: [] });
}

function finding(n) {
  const name = names[n % names.length];
  const text = name || endless;
  return {
    findingId: `finding-${n}`,
    advisoryId: n % 17 === 3 ? `ADVISORY-${n}-${text}` : `CVE-2026-${20000 + n}`,
    severity: levels[n % levels.length],
    score: (n % 101) / 10,
    kev: n % 5 === 0,
    epss: (n % 1000) / 1000,
    package: name,
    version: n % 4 === 0 ? `1.2.${n}+${"9".repeat(200)}` : `1.2.${n}`,
    purl: `pkg:npm/%40scope/${endless}@1.2.${n}?checksum=sha256:${"0".repeat(64)}`,
    path: n % 3 === 0 ? `usr/lib/${text}/package.json` : "var/lib/dpkg/status",
    fixedIn: Array.from({ length: n % 14 }, (_, line) => `${line}.${n}.0`),
    summary: n % 6 === 0 ? text.repeat(3) : `A summary of ordinary length for finding ${n}`,
    reachability: uses[n % uses.length],
    usedBy: Array.from({ length: n % 13 }, (_, pod) => `namespace-${pod}/${text}/container`),
  };
}

function report(verdict, evidence, findings, status) {
  const verdicts = findings.map((finding, n) => ({
    findingId: finding.findingId,
    status: status ?? statuses[n % statuses.length],
    ruleName: names[(n + 3) % names.length] || endless,
    reachability: finding.reachability,
  }));
  const [total, blocked, warned, ignored, quieted] = [findings.length, 0, 0, 0, 0];
  return envelope({
    imageDigest: `sha256:${"0123456789abcdef".repeat(4)}`,
    verdict,
    policy: { revisionId: Array.from({ length: 40 }, (_, n) => `rev-${n}`).join("+"), digest: "f".repeat(64) },
    summary: { total, blocked, warned, ignored, quieted },
    verdicts,
    issues: [],
    findings,
    ...evidence,
  });
}

const write = (name, text) => fs.writeFileSync(path.join(folder, name), text);
const scanned = { evidence: "scanned", scanId: "a".repeat(32) };
write("hostile.json", report("blocked", scanned, Array.from({ length: 200 }, (_, n) => finding(n))));
write("supplied.json", report("warn", { evidence: "supplied" }, levels.map((_, n) => finding(n)), "Warned"));
write("empty.json", report("pass", scanned, []));
