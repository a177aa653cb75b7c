package config

func (l *Loaded) readFile(contents []byte) {}
