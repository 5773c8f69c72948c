module fastserve.dev/go/fastserve

go 1.23
