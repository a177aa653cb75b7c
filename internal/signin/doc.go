// Package signin lets an operator in who comes by a browser: by the admin token, or by a
// link that a command of this machine has made.
//
// # Words
//
//   - link: an address that counts once, and for a minute.
//   - session: who has come in. It ends after an hour in which nobody did anything, after
//     twelve at the latest, and when the process does.
//   - proof: that an order comes from a page of ours; each form has it.
//
// # What an attacker meets
//
// Another site's page can have the browser send requests here. Its orders have neither
// the proof nor our origin, and the cookie goes with none of its requests. Cookies are
// shared by all ports of a name, and on a loopback address the other ports may be those of
// other people: so a session has a path that nobody can guess, and the browser sends the
// cookie to that path alone. Sessions and links are bounded in number; the oldest gives way.
package signin
