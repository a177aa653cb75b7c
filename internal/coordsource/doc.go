// Package coordsource asks a coordination server who may come into a relay, and
// listens to it for who may not any more.
//
// # Words
//
//   - replica: one of several coordinators of the same server. Any of them answers.
//   - gone: the server has said that a key may not come in any more. For a moment no
//     yes counts for it, as a replica may not have heard yet.
//   - missed: the server cannot tell what has happened since it was heard last, so that
//     all have to be asked about again.
//
// # Limits
//
// An answer and a line are 4 KiB at most. A stream that says nothing for
// coordapi.SilenceTime is given up for the next replica. Whatever a coordinator says
// or does not, it can only refuse: nobody comes in but by its yes.
package coordsource
