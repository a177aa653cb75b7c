// Package setup is what "detour init" knows: what people mean by the name of a relay,
// what can be seen from here of the answers that they give, and what follows from them
// for the DERP map and the firewall. It asks nobody and writes nothing.
//
// # Words
//
//   - answer: a setting that only the operator can know: the name, the certificate, who
//     may come in, the region.
//   - remark: what stands above a setting in the file that is written.
package setup
