//! Where the installer's code is typed.

use super::frame::View;
use crate::shell::page::access::Denied;

pub(in crate::shell::page) fn view(denied: Option<Denied>) -> View<'static> {
    let why = match denied {
        None => "",
        Some(Denied::Wrong) => {
            "<p class=\"bad\" role=\"alert\"><b>This is not the code.</b> It is good once, for ten \
             minutes; a newer one makes it void.</p>"
        }
        Some(Denied::TooMany) => {
            "<p class=\"bad\" role=\"alert\"><b>Too many wrong codes.</b> Wait a minute, then try \
             again.</p>"
        }
    };
    let main = format!(
        "{why}<form method=\"post\" action=\"/enter\"><p><label for=\"code\">Code</label></p>\
         <p><input id=\"code\" name=\"code\" inputmode=\"numeric\" autocomplete=\"one-time-code\" \
         maxlength=\"16\" required autofocus> <button>Show the page</button></p></form>\
         <p class=\"soft\">Ask the gateway for one: <code>sudo pendant-gateway page code</code></p>"
    );
    View { title: "Installer's code", live: None, here: "", main }
}
