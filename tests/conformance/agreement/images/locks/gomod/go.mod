module example.org/locked

go 1.21

require (
	github.com/gin-gonic/gin v1.6.2
	golang.org/x/text v0.3.3 // indirect
)
