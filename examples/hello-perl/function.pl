use strict;
use warnings;

sub handler {
    my ($event) = @_;
    die "no name in the event\n" unless defined $event->{name};
    return { message => "Hello, $event->{name}, from Perl!" };
}

1;
