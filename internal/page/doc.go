// Package page is what the pages for operators are made of, those of a relay and those
// of a coordinator: the frame around them, their look, the little script that keeps
// them up to date, charts, and how figures and foreign texts are shown.
//
// A page is whole when it arrives: the script only fetches the same page again and puts
// what has changed in its place, so that all works without it. Nothing is loaded from
// anywhere else, and the headers have browsers hold to that.
package page
