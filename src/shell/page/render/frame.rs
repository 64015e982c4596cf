//! What surrounds every view: head, style, navigation, script.

use crate::plot::{self, escaped};

/// Whose page it is.
#[derive(Clone, Debug)]
pub(in crate::shell::page) struct Frame {
    pub(in crate::shell::page) site: String,
    pub(in crate::shell::page) gateway: String,
    /// Whether there is a session that can be ended.
    pub(in crate::shell::page) has_session: bool,
}

/// One view to be framed.
pub(in crate::shell::page) struct View<'v> {
    pub(in crate::shell::page) title: &'v str,
    /// Where the stream is that keeps it fresh, if one does.
    pub(in crate::shell::page) live: Option<String>,
    /// Path of the navigation's entry that is this view.
    pub(in crate::shell::page) here: &'v str,
    /// HTML.
    pub(in crate::shell::page) main: String,
}

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// `nonce` lets this document's own style and script pass, and nothing else.
pub(in crate::shell::page) fn document(frame: &Frame, view: &View<'_>, nonce: &str) -> String {
    let title = escaped(view.title);
    let (site, gateway) = (escaped(&frame.site), escaped(&frame.gateway));
    let mut text = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <title>{title} · {gateway}</title>\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><link rel=\"icon\" href=\"data:,\">\
         <style nonce=\"{nonce}\">{STYLE}{}</style>",
        plot::STYLE
    );
    if view.live.is_some() {
        text += "<noscript><meta http-equiv=\"refresh\" content=\"10\"></noscript>";
    }
    let live = view.live.as_ref().map(|path| format!(" data-live=\"{}\"", escaped(path)));
    text += &format!(
        "</head><body{}><header><p class=\"who\"><b>{gateway}</b> at {site}</p>",
        live.unwrap_or_default()
    );
    if !view.here.is_empty() {
        text += &navigation(frame, view.here);
    }
    text += &format!(
        "</header><p id=\"stale\" role=\"alert\" hidden>No connection to the gateway: what you see \
         is old. <a href=\"\">Try again</a></p><main><h1>{title}</h1>{}</main>\
         <footer>pendant-gateway {}</footer>",
        view.main,
        env!("CARGO_PKG_VERSION")
    );
    if view.live.is_some() {
        text += &format!("<script nonce=\"{nonce}\">{SCRIPT}</script>");
    }
    text + "</body></html>"
}

fn navigation(frame: &Frame, here: &str) -> String {
    let entry = |(path, name): (&str, &str)| {
        let current = if path == here { " aria-current=\"page\"" } else { "" };
        format!("<a href=\"{path}\"{current}>{name}</a>")
    };
    let entries = [("/", "Overview"), ("/walk", "Walk test")].map(entry).concat();
    let leave = "<form method=\"post\" action=\"/leave\"><button>Sign out</button></form>";
    format!("<nav>{entries}{}</nav>", if frame.has_session { leave } else { "" })
}
