# What `lambdad runtime test` asks of a function; see docs/runtimes.md.
use strict;
use warnings;
use Time::HiRes qw(usleep);

die "asked to fail\n" if $ENV{CONFORMANCE_INIT_ERROR};

sub handler {
    my ( $event, $context ) = @_;
    my $wanted = $event->{conformance} // '';
    return $event if $wanted eq 'echo';
    return { deadline_ms => $context->{deadline_ms} } if $wanted eq 'deadline';
    return { text => 'x' x $event->{bytes} } if $wanted eq 'large';
    if ( $wanted eq 'sleep' ) {
        usleep( 1000 * $event->{ms} );
        return $event;
    }
    die "$wanted: asked to fail, or unknown here\n";
}

1;
