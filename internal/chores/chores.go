// Package chores does things one after the other, on a goroutine that is there only while
// there is something to do. A goroutine for each of very many things that come at once
// would leave memory behind that the runtime never gives back.
package chores

import "sync"

// Chores are what is to be done. The zero value has nothing to do.
type Chores struct {
	mu    sync.Mutex
	left  []func() // guarded by mu
	doing bool     // guarded by mu: somebody is at it
}

// Do has a chore done soon, after those that were given before. It never waits, and a
// chore should not, either.
func (c *Chores) Do(chore func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left = append(c.left, chore)
	if !c.doing {
		c.doing = true
		go c.work()
	}
}

func (c *Chores) work() {
	for chores := c.take(); len(chores) > 0; chores = c.take() {
		for _, do := range chores {
			do()
		}
	}
}

// take returns what is left to do; nothing: the work has ended.
func (c *Chores) take() []func() {
	c.mu.Lock()
	defer c.mu.Unlock()
	chores := c.left
	c.left, c.doing = nil, len(chores) > 0
	return chores
}
