// Package metrics shows the numbers of a relay to Prometheus: those of [admin.Metrics],
// under our own names, and those that derper has, under its names, so that dashboards
// made for derper go on.
//
// The numbers are taken when somebody asks. Nothing here counts, and nothing is a label
// that peers could choose.
//
// # Names
//
// detour_NAME_UNIT, and _total at the end of what only grows: "received_bytes" of
// admin.Metrics is detour_received_bytes_total.
package metrics
