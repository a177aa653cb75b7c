// Package metrics shows the numbers of a server to Prometheus: those of its table, under
// our own names, and for a relay also those that derper has, under its names and at the
// path where derper has them, so that dashboards made for derper go on.
//
// The numbers are taken when somebody asks. Nothing here counts, and nothing is a label
// that peers could choose. What the names are made of says package numbers.
package metrics
