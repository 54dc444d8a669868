select
    -- of the first row of each key: the merge numbers the others
    {{ row_id(row_key('green'), '1') }} as unique_row_id,
    file_month,
    file_row,
    {{ trip_columns('green') | join(',\n    ') }}

from {{ ref('stg_tlc__green_trips') }}
where {{ is_version_to_merge('green') }}
