package daemon

import (
	"slices"

	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/front"
)

// reloadEdge has other limits and options count for who comes from now on, and the
// certificate shown or not.
func (d *Daemon) reloadEdge(_, to config.Config) (apply func(), err error) {
	return d.edge.Prepare(d.edgeConfig(to))
}

// reloadTimes has other times count for who is connected, too. What is wrong with them
// is found by the settings themselves.
func (d *Daemon) reloadTimes(_, to config.Config) (apply func(), err error) {
	return func() {
		if err := d.relay.Retime(orOff(to.KeepAlive), orOff(to.TCP.WriteTimeout)); err != nil {
			d.log.Error("reload: the old times stay", "reason", err)
		}
	}, nil
}

// reloadOutboxes has another total count for what waits.
func (d *Daemon) reloadOutboxes(_, to config.Config) (apply func(), err error) {
	return func() { d.relay.SetOutboxMemory(int64(to.OutboxMemory)) }, nil
}

// reloadMesh has other siblings linked. Links to those who stay are not touched.
func (d *Daemon) reloadMesh(_, to config.Config) (apply func(), err error) {
	c, err := meshConfig(to)
	if err != nil {
		return nil, err
	}
	return d.mesh.Prepare(c)
}

// reloadSelfCheck has the relay check itself by another way, if that follows from the
// settings: what it knows of the present one is worth something.
func (d *Daemon) reloadSelfCheck(from, to config.Config) (apply func(), err error) {
	if from.Hostname == to.Hostname && from.TLS.Mode == to.TLS.Mode && from.SelfCheck == to.SelfCheck && slices.Equal(from.TrustedProxies, to.TrustedProxies) {
		return nil, nil
	}
	return func() {
		c := d.healthConfig(to, front.Bound(d.edge.Addr())) // with the certificate that is shown now
		if err := d.health.Update(c.ViaName, c.Direct); err != nil {
			d.log.Error("reload: the old self-check stays", "reason", err)
		}
	}, nil
}

// reloadFormat has the log written in another format.
func (d *Daemon) reloadFormat(from, to config.Config) (apply func(), err error) {
	if d.options.Format == nil || from.Log.Format == to.Log.Format {
		return nil, nil
	}
	return func() { d.options.Format(to.Log.Format) }, nil
}
