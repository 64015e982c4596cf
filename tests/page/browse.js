// Looks at the page as an installer does. What has to happen at the gateway is asked
// for on standard output, a line of JSON each; "done" comes back.
//
//   node browse.js FOLDER look ADDRESS
//   node browse.js FOLDER enter ADDRESS CODE FINGERPRINT
"use strict";
const assert = require("node:assert/strict");
const { writeFileSync } = require("node:fs");
const { join } = require("node:path");
const readline = require("node:readline");
const chromium = require("./chromium.js");

const PAGE_BYTES_MAX = 60 * 1024;
const PAINT_MS_MAX = 200;
const SHOT_BYTES_MAX = 100 * 1024;
/// WCAG 2.2, 1.4.3.
const CONTRAST_MIN = 4.5;
const PHONE = [360, 740, true, 1.5];

const [folder, what, address, code, fingerprint] = process.argv.slice(2);
const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const tell = (said) => process.stdout.write(`${JSON.stringify(said)}\n`);
const want = async (wants) => {
    tell({ wants });
    assert.equal((await lines.next()).value, "done");
};

const shoot = async (tab, name) => {
    const png = await tab.shot();
    assert.ok(png.length <= SHOT_BYTES_MAX, `${name}: ${png.length} bytes`);
    writeFileSync(join(folder, name), png);
};

/// Of text on its ground, for all texts that are shown.
const CONTRASTS = `(() => {
    const luminance = (colour) => {
        const part = colour.match(/[\\d.]+/g).slice(0, 3).map((part) => part / 255)
            .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
        return 0.2126 * part[0] + 0.7152 * part[1] + 0.0722 * part[2];
    };
    const ground = getComputedStyle(document.body).backgroundColor;
    return [...document.querySelectorAll("main *, header *, footer")]
        .filter((e) => e.checkVisibility() && e.textContent.trim() && !e.closest("svg"))
        .map((e) => {
            const [a, b] = [luminance(getComputedStyle(e).color), luminance(ground)].sort((a, b) => b - a);
            return [(a + 0.05) / (b + 0.05), e.tagName + "." + e.className + " " + e.textContent.slice(0, 30)];
        })
        .sort((a, b) => a[0] - b[0])[0];
})()`;

async function firstPaint(tab) {
    const times = [];
    for (let load = 0; load < 7; load++) {
        await tab.go(`${address}/`);
        await tab.until("the first paint", "performance.getEntriesByName('first-contentful-paint').length");
        times.push(await tab.value("performance.getEntriesByName('first-contentful-paint')[0].startTime"));
    }
    times.sort((a, b) => a - b);
    return times;
}

async function overview(tab) {
    await tab.screen(860, 720, false);
    const times = await firstPaint(tab);
    const median = times[3];
    tell({ measured: { first_paint_ms: times.map(Math.round), bytes: tab.bytes } });
    assert.ok(median < PAINT_MS_MAX, `first paint after ${median} ms`);
    assert.ok(tab.bytes > 0 && tab.bytes <= PAGE_BYTES_MAX, `${tab.bytes} bytes`);
    assert.equal(await tab.value("document.querySelector('h1').textContent"), "Overview");
    assert.equal(await tab.value("document.querySelectorAll('svg[role=img] > title').length"), 2);
    for (const words of ["pty", "roof", "broker-1", "days left", "2 enrolled"]) {
        assert.ok((await tab.value("document.body.innerText")).includes(words), words);
    }
    for (const scheme of ["light", "dark"]) {
        await tab.scheme(scheme);
        const [contrast, where] = await tab.value(CONTRASTS);
        assert.ok(contrast >= CONTRAST_MIN, `${scheme}: ${contrast.toFixed(2)} at ${where}`);
        await shoot(tab, `page-${scheme}.png`);
    }
    const dark = await tab.value("getComputedStyle(document.body).backgroundColor");
    await tab.scheme("light");
    assert.notEqual(await tab.value("getComputedStyle(document.body).backgroundColor"), dark);
}

async function keyboard(tab) {
    await tab.go(`${address}/`);
    const focused = [];
    for (let tabs = 0; tabs < 4; tabs++) {
        await tab.press("Tab", 9);
        focused.push(await tab.value("document.activeElement.textContent"));
        assert.notEqual(await tab.value("getComputedStyle(document.activeElement).outlineStyle"), "none");
    }
    assert.deepEqual(focused, ["Overview", "Walk test", "24 hours", "7 days"]);
    const loaded = new Promise((resolve) => (tab.loaded = resolve));
    await tab.press("Enter", 13, "\r");
    await loaded;
    assert.equal(await tab.value("location.search"), "?days=7");
    assert.equal(await tab.value("document.querySelector('.periods [aria-current]').textContent"), "7 days");
}

async function walk(tab) {
    await tab.screen(...PHONE);
    const narrow = "document.documentElement.scrollWidth <= innerWidth";
    await tab.go(`${address}/`);
    assert.ok(await tab.value(narrow), "the overview scrolls sideways on a phone");
    await tab.go(`${address}/walk`);
    assert.ok(await tab.value(narrow), "the list scrolls sideways on a phone");
    assert.ok(!(await tab.value("document.body.innerText")).includes("00012f"));
    // Who has a pendant in focus keeps it while the list changes.
    await tab.value("document.getElementById('w-000130').focus()");
    await want("frame");
    await tab.until("it is heard", "!!document.getElementById('w-00012f')");
    assert.equal(await tab.value("document.activeElement.id"), "w-000130");
    await tab.go(`${address}/walk/00012f`);
    assert.ok(await tab.value(narrow), "the pendant scrolls sideways on a phone");
    assert.ok(await tab.value("parseFloat(getComputedStyle(document.querySelector('.big dd')).fontSize) >= 48"));
    const before = await tab.value("document.getElementById('heard').textContent");
    await want("frame");
    await tab.until("it is heard", `document.getElementById('heard').textContent !== ${JSON.stringify(before)}`);
    await shoot(tab, "page-phone.png");
    const small = await tab.value(
        `[...document.querySelectorAll("a,button,input")].map((e) => e.getBoundingClientRect().height)
            .filter((height) => height > 0 && height < 24).length`);
    assert.ok(small <= 1, `${small} too small to touch`);
}

async function withoutGateway(tab) {
    await tab.go(`${address}/`);
    assert.equal(await tab.value("document.getElementById('stale').hidden"), true);
    await want("end");
    await tab.until("it says that it is old", "!document.getElementById('stale').hidden");
}

async function enter(tab) {
    await tab.send("Security.setIgnoreCertificateErrors", { ignore: true });
    await tab.screen(...PHONE);
    await tab.go(`${address}/`);
    assert.equal(await tab.value("location.pathname"), "/enter");
    assert.equal(await tab.value("document.activeElement.id"), "code");
    const { tableNames } = await tab.send("Network.getCertificate", { origin: address });
    const { X509Certificate } = require("node:crypto");
    const shown = new X509Certificate(Buffer.from(tableNames[0], "base64")).fingerprint256;
    assert.equal(shown, fingerprint, "the certificate is the one that the command told");
    for (const digit of code) await tab.send("Input.insertText", { text: digit });
    const loaded = new Promise((resolve) => (tab.loaded = resolve));
    await tab.press("Enter", 13, "\r");
    await loaded;
    assert.equal(await tab.value("location.pathname"), "/");
    assert.equal(await tab.value("document.cookie"), "", "no script sees the session");
    await tab.until("the stream is open", "document.getElementById('stale').hidden");
    const left = new Promise((resolve) => (tab.loaded = resolve));
    await tab.value("document.querySelector('nav form button').click()");
    await left;
    assert.equal(await tab.value("location.pathname"), "/enter");
}

(async () => {
    const tab = await chromium.start();
    try {
        if (what === "enter") {
            await enter(tab);
        } else {
            await overview(tab);
            await keyboard(tab);
            await walk(tab);
            await withoutGateway(tab);
        }
        const foreign = tab.requests.filter((url) => !url.startsWith(`${address}/`) && !/^(data|about):/.test(url));
        assert.deepEqual(foreign, [], "nothing is fetched from elsewhere");
        assert.deepEqual(tab.errors, [], "no error, and nothing against the page's own policy");
        tell({ found: "all" });
    } finally {
        await tab.end();
    }
})().then(() => process.exit(0), (error) => {
    console.error(error);
    process.exit(1);
});
