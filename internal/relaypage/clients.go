package relaypage

import "net/http"

func (p *Page) clients(http.ResponseWriter, *http.Request) {}
func (p *Page) client(http.ResponseWriter, *http.Request)  {}
