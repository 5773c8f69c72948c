//go:build !unix

package fastserve

import "os"

func (p *pump) watch() *os.File { return nil }

func (p *pump) follow(*os.File) error { return nil }
