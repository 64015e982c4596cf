// Chromium without a screen, spoken to by its DevTools protocol.
"use strict";
const { spawn } = require("node:child_process");
const { mkdtempSync, rmSync } = require("node:fs");
const { tmpdir } = require("node:os");
const { join } = require("node:path");
const WebSocket = require("ws");

const WAIT_MS = 30_000;

exports.start = async () => {
    const profile = mkdtempSync(join(tmpdir(), "page-"));
    const flags = [
        "--headless=new", "--remote-debugging-port=0", `--user-data-dir=${profile}`,
        "--no-first-run", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
        "--disable-background-networking", "--disable-component-update", "about:blank",
    ];
    // Its sandbox does not run as root.
    if (process.getuid() === 0) flags.push("--no-sandbox");
    const child = spawn("chromium", flags, { stdio: ["ignore", "ignore", "pipe"] });
    const address = await new Promise((resolve, reject) => {
        let text = "";
        child.stderr.on("data", (bytes) => {
            text += bytes;
            const found = /DevTools listening on (\S+)/.exec(text);
            if (found) resolve(found[1]);
        });
        child.on("error", reject);
        child.on("exit", () => reject(new Error(`chromium ended:\n${text}`)));
    });
    const socket = new WebSocket(address);
    await new Promise((resolve, reject) => socket.on("open", resolve).on("error", reject));
    const tab = new Tab(socket);
    const { targetId } = await tab.send("Target.createTarget", { url: "about:blank" });
    tab.session = (await tab.send("Target.attachToTarget", { targetId, flatten: true })).sessionId;
    for (const domain of ["Page", "Runtime", "Network", "Log"]) await tab.send(`${domain}.enable`);
    tab.end = async () => {
        socket.terminate();
        const ended = new Promise((resolve) => child.on("exit", resolve));
        child.kill("SIGKILL");
        await ended;
        rmSync(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
    };
    return tab;
};

class Tab {
    constructor(socket) {
        this.socket = socket;
        this.last = 0;
        this.waiting = new Map();
        this.errors = [];
        this.requests = [];
        this.bytes = 0;
        this.loaded = () => {};
        socket.on("message", (text) => this.hear(JSON.parse(text)));
    }

    hear(message) {
        if (message.id) {
            const { resolve, reject } = this.waiting.get(message.id);
            this.waiting.delete(message.id);
            message.error ? reject(new Error(JSON.stringify(message.error))) : resolve(message.result);
        }
        const { method, params } = message;
        if (method === "Page.loadEventFired") this.loaded();
        if (method === "Network.requestWillBeSent") this.requests.push(params.request.url);
        if (method === "Network.loadingFinished") this.bytes += params.encodedDataLength;
        if (method === "Runtime.exceptionThrown") this.errors.push(params.exceptionDetails.text);
        // The stream that breaks when the gateway is stopped is meant to.
        if (method === "Log.entryAdded" && params.entry.level === "error" &&
            params.entry.source !== "network") this.errors.push(params.entry.text);
    }

    send(method, params = {}) {
        const id = ++this.last;
        this.socket.send(JSON.stringify({ id, method, params, sessionId: this.session }));
        return new Promise((resolve, reject) => this.waiting.set(id, { resolve, reject }));
    }

    async go(url) {
        this.bytes = 0;
        const loaded = new Promise((resolve) => (this.loaded = resolve));
        const { errorText } = await this.send("Page.navigate", { url });
        if (errorText) throw new Error(`${url}: ${errorText}`);
        await loaded;
    }

    async value(expression) {
        const { result, exceptionDetails } = await this.send("Runtime.evaluate",
            { expression, returnByValue: true, awaitPromise: true });
        if (exceptionDetails) throw new Error(`${expression}: ${exceptionDetails.exception.description}`);
        return result.value;
    }

    async until(what, expression) {
        const giveUp = Date.now() + WAIT_MS;
        while (!(await this.value(expression))) {
            if (Date.now() > giveUp) throw new Error(`not in time: ${what}`);
            await new Promise((resolve) => setTimeout(resolve, 50));
        }
    }

    async press(key, code, text) {
        const params = { key, code: key, windowsVirtualKeyCode: code, text };
        await this.send("Input.dispatchKeyEvent", { ...params, type: text ? "keyDown" : "rawKeyDown" });
        await this.send("Input.dispatchKeyEvent", { ...params, type: "keyUp" });
    }

    async screen(width, height, mobile, scale = 1) {
        await this.send("Emulation.setDeviceMetricsOverride",
            { width, height, mobile, deviceScaleFactor: scale });
    }

    async scheme(value) {
        await this.send("Emulation.setEmulatedMedia",
            { features: [{ name: "prefers-color-scheme", value }] });
    }

    async shot() {
        const { data } = await this.send("Page.captureScreenshot", { format: "png" });
        return Buffer.from(data, "base64");
    }
}
