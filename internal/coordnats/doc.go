// Package coordnats keeps a coordinator's state in NATS JetStream: in a server that
// runs within the process, alone or as one of several, or in one that others run.
//
// # How a bucket is kept
//
// A bucket is a JetStream key-value bucket with one value for each key, so that
// NATS's own tools can read it. A revision is the stream's sequence, an epoch the
// moment at which the stream was created. A delete leaves a marker, which the engine
// removes after coordstore.DeletesKept.
//
// # What is sure
//
// Within the process, and within a cluster of such processes, a write is on the disk
// of a majority before it is acknowledged: each server syncs its log. Buckets of one
// server that need it less are synced by and by. Of servers that others run this is
// theirs to say (sync_interval).
//
// A watcher is a consumer of its own, over a connection that does nothing else. It
// is told of by the engine in order and without gaps, and of what it may have missed
// at each heartbeat; on any doubt the watching breaks, and who follows reloads.
//
// No peer ever has a consumer, a stream or a connection: there are as many watchers
// as coordinators.
package coordnats
